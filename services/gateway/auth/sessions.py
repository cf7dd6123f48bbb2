"""Page links and browser sessions: both are short-lived JWTs that the gateway signs.

A link is valid for minutes and can be opened once; opening it stores the caller in an HTTP-only cookie. A
session cannot create links, so it always ends two hours after its link was created. A request that changes
something with a session must contain its CSRF token, which only the gateway's own pages know.
"""

import hmac
import secrets
import time
from dataclasses import dataclass, replace
from typing import Any, Literal

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from starlette.responses import Response

from services.gateway.auth.principal import ADMIN, MANAGE, READ, Caller
from services.gateway.auth.tokens import InvalidToken, caller_from_claims
from services.gateway.settings import GatewaySettings
from shared.ids import new_id

LINK_SECONDS = 300
"""A link is opened at once; later it must be useless in a browser history or a log."""
SESSION_SECONDS = 7_200
"""Long enough to manage billing, short enough for a browser left open. Counted from when the host application
requested the link."""
PAGES = {"billing": "/billing", "my": "/my", "payouts": "/billing/payouts", "admin": "/admin"}
"""The pages that a link can open."""
PAGE_SCOPES = {page: {READ, MANAGE} for page in PAGES} | {"admin": {READ, MANAGE, ADMIN}}
"""The scopes of a session by the page its link opens: only the operators' page gives the admin scope."""
CSRF_HEADER = "x-csrf-token"
CSRF_FIELD = "csrf_token"
_ALGORITHM = "HS256"

Purpose = Literal["link", "session"]


@dataclass(frozen=True, slots=True)
class Link:
    """The verified content of a page link."""

    link_id: str
    caller: Caller
    page: str
    session_until: int
    """Unix seconds at which the session that it starts ends."""


@dataclass(frozen=True, slots=True)
class Sessions:
    """Signs and verifies page links and sessions."""

    key: OctKey
    public_url: str
    is_secure: bool

    @classmethod
    def of(cls, settings: GatewaySettings) -> "Sessions":
        """Create it with the secret in the settings."""
        key = OctKey.import_key(settings.gateway_session_secret.get_secret_value())
        return cls(key, settings.gateway_public_url, settings.is_secure)

    @property
    def cookie(self) -> str:
        """The cookie's name; with the prefix, browsers reject a cookie set by another host or over http."""
        return "__Host-tallystick" if self.is_secure else "tallystick"

    def link(self, caller: Caller, page: str) -> tuple[str, int]:
        """Return the URL that opens a page as this caller, and its expiry in Unix seconds."""
        expires_at = int(time.time()) + LINK_SECONDS
        token = self._sign(
            "link",
            replace(caller, scopes=caller.scopes & PAGE_SCOPES[page]),
            expires_at,
            {"page": page, "jti": new_id("link"), "session_until": int(time.time()) + SESSION_SECONDS},
        )
        return f"{self.public_url}/session?token={token}", expires_at

    def verify_link(self, token: str) -> Link:
        """Verify a link's token and return its content. Raises InvalidToken."""
        claims = self._verify("link", token)
        return Link(
            str(claims["jti"]), caller_from_claims(claims), str(claims["page"]), int(claims["session_until"])
        )

    def begin(self, response: Response, link: Link) -> None:
        """Start a session by setting a response's cookie."""
        more = {"csrf": secrets.token_urlsafe(24), "jti": new_id("session")}
        token = self._sign("session", link.caller, link.session_until, more)
        response.set_cookie(
            self.cookie,
            token,
            max_age=link.session_until - int(time.time()),
            path="/",
            secure=self.is_secure,
            httponly=True,
            samesite="lax",
        )

    def end(self, response: Response) -> None:
        """Delete the session's cookie."""
        response.delete_cookie(self.cookie, path="/", secure=self.is_secure, httponly=True, samesite="lax")

    def caller(self, token: str) -> Caller:
        """Verify a session's token and return its caller. Raises InvalidToken."""
        claims = self._verify("session", token)
        if "jti" not in claims:
            raise InvalidToken("the session was begun by an earlier version")
        return replace(caller_from_claims(claims), csrf=str(claims["csrf"]), session_id=str(claims["jti"]))

    def _sign(self, purpose: Purpose, caller: Caller, expires_at: int, more: dict[str, Any]) -> str:
        claims: dict[str, Any] = {
            "aud": f"tallystick:{purpose}",
            "customer": caller.customer.token,
            "scope": " ".join(sorted(caller.scopes)),
            "exp": expires_at,
            **more,
        }
        if caller.member is not None:
            claims["member"] = caller.member.token
        if caller.email is not None:
            claims["email"] = caller.email
        return jwt.encode({"alg": _ALGORITHM}, claims, self.key)

    def _verify(self, purpose: Purpose, token: str) -> dict[str, Any]:
        registry = jwt.JWTClaimsRegistry(
            exp={"essential": True}, aud={"essential": True, "value": f"tallystick:{purpose}"}
        )
        try:
            decoded = jwt.decode(token, self.key, algorithms=[_ALGORITHM])
            registry.validate(decoded.claims)
        except (JoseError, ValueError, TypeError) as error:
            raise InvalidToken(str(error) or type(error).__name__) from None
        return decoded.claims


def csrf_matches(caller: Caller, given: str | None) -> bool:
    """Return whether a request contains its session's CSRF token."""
    return given is not None and hmac.compare_digest((caller.csrf or "").encode(), given.encode())
