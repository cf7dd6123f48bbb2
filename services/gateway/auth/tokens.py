"""Verifies bearer tokens: JWTs that the host application signs with a shared secret (HS256) or own keys."""

import asyncio
import hashlib
import json
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OctKey
from joserfc.jws import extract_compact

from services.gateway.auth.principal import Caller, customer_of, email_of, member_of, scopes_of
from services.gateway.settings import GatewaySettings

log = structlog.get_logger()

TOKEN_MAX_CHARACTERS = 8_192
"""Tokens with a few claims have some hundred; many proxies reject longer headers anyway."""
LIFETIME_MAX_SECONDS = 366 * 86_400
"""A token cannot be revoked; one that is valid for more than a year is a mistake of its issuer."""
LEEWAY_SECONDS = 30
"""Allowed difference between the clocks of two machines."""
CACHE_SECONDS = 60.0
"""How long a verified token is not verified again."""
CACHE_MAX = 10_000
"""Verified tokens kept in memory, about 1 KB each."""
KEYS_FRESH_SECONDS = 300.0
"""How long the keys of a JWKS are used before it is read again."""
KEYS_RETRY_SECONDS = 10.0
"""How often an unknown key id or a failed read causes the JWKS to be read again, at most."""
KEYS_TIMEOUT_SECONDS = 5.0
KEYS_MAX_BYTES = 262_144
ASYMMETRIC = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519"]
"""Algorithms allowed with a JWKS; a public key must never verify an HMAC."""


class InvalidToken(Exception):
    """The token is not valid; the message tells its issuer why."""


class KeysUnavailable(Exception):
    """The JWKS cannot be read at the moment."""


@dataclass(slots=True)
class Jwks:
    """The host application's public keys, read from a file or URL and refreshed."""

    source: str
    _keys: KeySet | None = None
    _read_at: float = -KEYS_FRESH_SECONDS
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def keys(self, key_id: str | None) -> KeySet:
        """Return the keys, read again if they are old or lack this key id. Raises KeysUnavailable."""
        async with self._lock:
            age = time.monotonic() - self._read_at
            unknown = key_id is not None and not self._has(key_id)
            if age >= KEYS_FRESH_SECONDS or (unknown and age >= KEYS_RETRY_SECONDS):
                await self._read()
        if self._keys is None:
            raise KeysUnavailable
        return self._keys

    def _has(self, key_id: str) -> bool:
        return self._keys is not None and any(key.kid == key_id for key in self._keys.keys)

    async def _read(self) -> None:
        self._read_at = time.monotonic() - KEYS_FRESH_SECONDS + KEYS_RETRY_SECONDS
        try:
            content = await asyncio.to_thread(_fetch, self.source)
            self._keys = KeySet.import_key_set(json.loads(content))
        except (OSError, ValueError, JoseError) as error:
            # The keys read before stay in use while the provider is unavailable.
            log.warning("cannot read the JWKS", source=self.source, error=str(error))
        else:
            self._read_at = time.monotonic()


class TokenVerifier:
    """Verifies bearer tokens and caches the callers of those it has verified."""

    def __init__(self, settings: GatewaySettings) -> None:
        secret = settings.gateway_jwt_secret
        self._secret = OctKey.import_key(secret.get_secret_value()) if secret else None
        self._jwks = Jwks(settings.gateway_jwks) if settings.gateway_jwks else None
        claim_options: dict[str, Any] = {"exp": {"essential": True}}
        if settings.gateway_jwt_issuer:
            claim_options["iss"] = {"essential": True, "value": settings.gateway_jwt_issuer}
        if settings.gateway_jwt_audience:
            claim_options["aud"] = {"essential": True, "value": settings.gateway_jwt_audience}
        else:
            log.warning(
                "GATEWAY_JWT_AUDIENCE is not set: tokens made for other applications are accepted too"
            )
        self._claims = jwt.JWTClaimsRegistry(leeway=LEEWAY_SECONDS, **claim_options)
        self._cache: dict[bytes, tuple[Caller, float]] = {}

    async def caller(self, token: str) -> Caller:
        """Verify a token and return its caller. Raises InvalidToken and KeysUnavailable."""
        if len(token) > TOKEN_MAX_CHARACTERS:
            raise InvalidToken("the token is too long")
        fingerprint = hashlib.sha256(token.encode(errors="replace")).digest()
        cached = self._cache.get(fingerprint)
        now = time.time()
        if cached is not None and cached[1] > now and cached[0].expires_at > now:
            return cached[0]
        caller = caller_from_claims(await self._verify(token))
        if len(self._cache) >= CACHE_MAX:
            self._cache.clear()
        self._cache[fingerprint] = (caller, now + CACHE_SECONDS)
        return caller

    async def _verify(self, token: str) -> dict[str, Any]:
        try:
            header = extract_compact(token.encode()).headers()
            algorithm = header.get("alg")
            if algorithm == "HS256" and self._secret is not None:
                decoded = jwt.decode(token, self._secret, algorithms=["HS256"])
            elif algorithm in ASYMMETRIC and self._jwks is not None:
                keys = await self._jwks.keys(header.get("kid"))
                decoded = jwt.decode(token, keys, algorithms=ASYMMETRIC)
            else:
                raise InvalidToken(f"tokens signed with {str(algorithm)[:20]!r} are not accepted")
            self._claims.validate(decoded.claims)
            if decoded.claims["exp"] > time.time() + LIFETIME_MAX_SECONDS:
                raise InvalidToken("it is good for more than a year; make one that expires within hours")
        except (JoseError, ValueError, TypeError) as error:
            raise InvalidToken(str(error) or type(error).__name__) from None
        return decoded.claims


def caller_from_claims(claims: dict[str, Any]) -> Caller:
    """Create a caller from verified claims. Raises InvalidToken."""
    try:
        return Caller(
            customer=customer_of(claims.get("customer")),
            member=member_of(claims.get("member")),
            scopes=scopes_of(claims.get("scope", "")),
            expires_at=float(claims["exp"]),
            email=email_of(claims.get("email")),
        )
    except (ValueError, TypeError, KeyError):
        raise InvalidToken(
            'it needs "customer" ({"type", "id"} or "organization_acme") and "scope", and may have "member"'
        ) from None


def _fetch(source: str) -> bytes:
    if not source.startswith(("http://", "https://")):
        return Path(source).read_bytes()
    # The scheme is checked above, and the operator configures the address.
    with urllib.request.urlopen(source, timeout=KEYS_TIMEOUT_SECONDS) as answer:  # noqa: S310
        content: bytes = answer.read(KEYS_MAX_BYTES)
        return content
