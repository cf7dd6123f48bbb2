"""Bearer tokens: JWTs that the host application signs, with a shared secret (HS256) or keys of its own."""

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
"""Tokens with a few claims have some hundred; headers beyond this are refused by many proxies anyway."""
LIFETIME_MAX_SECONDS = 366 * 86_400
"""A token that is good for more than a year cannot be taken back for as long; it is a mistake of who made
it."""
LEEWAY_SECONDS = 30
"""Clocks of two machines differ by less."""
KNOWN_SECONDS = 60.0
"""How long a token that was verified need not be verified again."""
KNOWN_MAX = 10_000
"""Verified tokens kept in memory, about 1 KB each."""
KEYS_FRESH_SECONDS = 300.0
"""How long keys from a JWKS are used before they are read again."""
KEYS_RETRY_SECONDS = 10.0
"""A token with an unknown key has them read again, but not more often than this."""
KEYS_TIMEOUT_SECONDS = 5.0
KEYS_MAX_BYTES = 262_144
ASYMMETRIC = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519"]
"""Algorithms that a JWKS is used with; public keys never verify an HMAC."""


class BadToken(Exception):
    """The token proves nothing; the message says why, for whoever made it."""


class KeysAway(Exception):
    """The JWKS cannot be read just now."""


@dataclass(slots=True)
class Jwks:
    """The host application's public keys, read from a file or a URL and read again as they change."""

    source: str
    _keys: KeySet | None = None
    _read_at: float = -KEYS_FRESH_SECONDS
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def keys(self, key_id: str | None) -> KeySet:
        """The keys, read again where they are old or do not have this one. Raises KeysAway."""
        async with self._lock:
            age = time.monotonic() - self._read_at
            unknown = key_id is not None and not self._has(key_id)
            if age >= KEYS_FRESH_SECONDS or (unknown and age >= KEYS_RETRY_SECONDS):
                await self._read()
        if self._keys is None:
            raise KeysAway
        return self._keys

    def _has(self, key_id: str) -> bool:
        return self._keys is not None and any(key.kid == key_id for key in self._keys.keys)

    async def _read(self) -> None:
        self._read_at = time.monotonic() - KEYS_FRESH_SECONDS + KEYS_RETRY_SECONDS
        try:
            content = await asyncio.to_thread(_fetch, self.source)
            self._keys = KeySet.import_key_set(json.loads(content))
        except (OSError, ValueError, JoseError) as error:
            # Keys that were read before still count; a provider may be away for a while.
            log.warning("cannot read the JWKS", source=self.source, error=str(error))
        else:
            self._read_at = time.monotonic()


class Tokens:
    """Tells who is behind a bearer token."""

    def __init__(self, settings: GatewaySettings) -> None:
        secret = settings.gateway_jwt_secret
        self._secret = OctKey.import_key(secret.get_secret_value()) if secret else None
        self._jwks = Jwks(settings.gateway_jwks) if settings.gateway_jwks else None
        wanted: dict[str, Any] = {"exp": {"essential": True}}
        if settings.gateway_jwt_issuer:
            wanted["iss"] = {"essential": True, "value": settings.gateway_jwt_issuer}
        if settings.gateway_jwt_audience:
            wanted["aud"] = {"essential": True, "value": settings.gateway_jwt_audience}
        else:
            log.warning(
                "GATEWAY_JWT_AUDIENCE is not set: tokens made for other applications are accepted too"
            )
        self._claims = jwt.JWTClaimsRegistry(leeway=LEEWAY_SECONDS, **wanted)
        self._known: dict[bytes, tuple[Caller, float]] = {}

    async def caller(self, token: str) -> Caller:
        """Who it is. Raises BadToken and KeysAway."""
        if len(token) > TOKEN_MAX_CHARACTERS:
            raise BadToken("the token is too long")
        fingerprint = hashlib.sha256(token.encode(errors="replace")).digest()
        known = self._known.get(fingerprint)
        now = time.time()
        if known is not None and known[1] > now and known[0].expires_at > now:
            return known[0]
        caller = caller_of(await self._verified(token))
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known[fingerprint] = (caller, now + KNOWN_SECONDS)
        return caller

    async def _verified(self, token: str) -> dict[str, Any]:
        try:
            header = extract_compact(token.encode()).headers()
            algorithm = header.get("alg")
            if algorithm == "HS256" and self._secret is not None:
                decoded = jwt.decode(token, self._secret, algorithms=["HS256"])
            elif algorithm in ASYMMETRIC and self._jwks is not None:
                keys = await self._jwks.keys(header.get("kid"))
                decoded = jwt.decode(token, keys, algorithms=ASYMMETRIC)
            else:
                raise BadToken(f"tokens signed with {str(algorithm)[:20]!r} are not accepted")
            self._claims.validate(decoded.claims)
            if decoded.claims["exp"] > time.time() + LIFETIME_MAX_SECONDS:
                raise BadToken("it is good for more than a year; make one that expires within hours")
        except (JoseError, ValueError, TypeError) as error:
            raise BadToken(str(error) or type(error).__name__) from None
        return decoded.claims


def caller_of(claims: dict[str, Any]) -> Caller:
    """Who verified claims speak of. Raises BadToken."""
    try:
        return Caller(
            customer=customer_of(claims.get("customer")),
            member=member_of(claims.get("member")),
            scopes=scopes_of(claims.get("scope", "")),
            expires_at=float(claims["exp"]),
            email=email_of(claims.get("email")),
        )
    except (ValueError, TypeError, KeyError):
        raise BadToken(
            'it needs "customer" ({"type", "id"} or "organization_acme") and "scope", and may have "member"'
        ) from None


def _fetch(source: str) -> bytes:
    if not source.startswith(("http://", "https://")):
        return Path(source).read_bytes()
    # The scheme was just looked at, and the address is the operator's own.
    with urllib.request.urlopen(source, timeout=KEYS_TIMEOUT_SECONDS) as answer:  # noqa: S310
        content: bytes = answer.read(KEYS_MAX_BYTES)
        return content
