"""Links that open a page, and the sessions they begin: both short-lived JWTs of the gateway's own.

A link carries a caller for minutes; opening it puts the same caller into a cookie that scripts cannot read.
Whatever a session changes must come with its CSRF token, which only our own pages know.
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

from services.gateway.callers import Caller
from services.gateway.settings import GatewaySettings
from services.gateway.tokens import BadToken, caller_of

LINK_SECONDS = 300
"""A link is opened at once; afterwards it should be worth nothing in a history or a log."""
SESSION_SECONDS = 7_200
"""Long enough to look after one's billing, short enough for a browser left open."""
PAGES = {"billing": "/billing", "my": "/my", "admin": "/admin"}
"""What a link may open."""
CSRF_HEADER = "x-csrf-token"
CSRF_FIELD = "csrf_token"
_ALGORITHM = "HS256"

Purpose = Literal["link", "session"]


@dataclass(frozen=True, slots=True)
class Sessions:
    """Makes and reads links and sessions."""

    key: OctKey
    public_url: str
    is_secure: bool

    @classmethod
    def of(cls, settings: GatewaySettings) -> "Sessions":
        """With the secret of the settings."""
        key = OctKey.import_key(settings.gateway_session_secret.get_secret_value())
        return cls(key, settings.gateway_public_url, settings.is_secure)

    @property
    def cookie(self) -> str:
        """The cookie's name; the prefix has browsers refuse one that another host or plain http has set."""
        return "__Host-tallystick" if self.is_secure else "tallystick"

    def link(self, caller: Caller, page: str) -> tuple[str, int]:
        """The URL that opens a page as this caller, and until when (Unix seconds)."""
        expires_at = int(time.time()) + LINK_SECONDS
        token = self._signed("link", caller, expires_at, {"page": page})
        return f"{self.public_url}/session?token={token}", expires_at

    def opened(self, token: str) -> tuple[Caller, str]:
        """The caller and the page of a link. Raises BadToken."""
        claims = self._verified("link", token)
        return caller_of(claims), str(claims["page"])

    def begin(self, response: Response, caller: Caller) -> None:
        """Put a new session for this caller into a response's cookie."""
        expires_at = int(time.time()) + SESSION_SECONDS
        token = self._signed("session", caller, expires_at, {"csrf": secrets.token_urlsafe(24)})
        response.set_cookie(
            self.cookie,
            token,
            max_age=SESSION_SECONDS,
            path="/",
            secure=self.is_secure,
            httponly=True,
            samesite="lax",
        )

    def end(self, response: Response) -> None:
        """Take the cookie away."""
        response.delete_cookie(self.cookie, path="/", secure=self.is_secure, httponly=True, samesite="lax")

    def caller(self, token: str) -> Caller:
        """The caller of a session, with its CSRF token. Raises BadToken."""
        claims = self._verified("session", token)
        return replace(caller_of(claims), csrf=str(claims["csrf"]))

    def _signed(self, purpose: Purpose, caller: Caller, expires_at: int, more: dict[str, str]) -> str:
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

    def _verified(self, purpose: Purpose, token: str) -> dict[str, Any]:
        registry = jwt.JWTClaimsRegistry(
            exp={"essential": True}, aud={"essential": True, "value": f"tallystick:{purpose}"}
        )
        try:
            decoded = jwt.decode(token, self.key, algorithms=[_ALGORITHM])
            registry.validate(decoded.claims)
        except (JoseError, ValueError, TypeError) as error:
            raise BadToken(str(error) or type(error).__name__) from None
        return decoded.claims


def csrf_matches(caller: Caller, given: str | None) -> bool:
    """Whether a request brought its session's CSRF token along."""
    return given is not None and hmac.compare_digest((caller.csrf or "").encode(), given.encode())
