"""Links that open a page, and the sessions they begin: both short-lived JWTs of the gateway's own.

A link carries a caller for minutes and is opened once; opening it puts the caller into a cookie that scripts
cannot read. A session cannot make links, so that it ends when it says: two hours after its link was made.
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

from services.gateway.auth.principal import ADMIN, MANAGE, READ, Caller
from services.gateway.auth.tokens import BadToken, caller_of
from services.gateway.settings import GatewaySettings
from shared.ids import new_id

LINK_SECONDS = 300
"""A link is opened at once; afterwards it should be worth nothing in a history or a log."""
SESSION_SECONDS = 7_200
"""Long enough to look after one's billing, short enough for a browser left open. Counted from the moment at
which the host application asked for the link."""
PAGES = {"billing": "/billing", "my": "/my", "admin": "/admin"}
"""What a link may open."""
PAGE_SCOPES = {"billing": {READ, MANAGE}, "my": {READ, MANAGE}, "admin": {READ, MANAGE, ADMIN}}
"""What a session may do that began on a page: an operator's session begins on the operators' page alone."""
CSRF_HEADER = "x-csrf-token"
CSRF_FIELD = "csrf_token"
_ALGORITHM = "HS256"

Purpose = Literal["link", "session"]


@dataclass(frozen=True, slots=True)
class Link:
    """A link to a page, read back."""

    link_id: str
    caller: Caller
    page: str
    session_until: int
    """Unix seconds at which the session ends that it begins."""


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
        token = self._signed(
            "link",
            replace(caller, scopes=caller.scopes & PAGE_SCOPES[page]),
            expires_at,
            {"page": page, "jti": new_id("link"), "session_until": int(time.time()) + SESSION_SECONDS},
        )
        return f"{self.public_url}/session?token={token}", expires_at

    def opened(self, token: str) -> Link:
        """What a link says. Raises BadToken."""
        claims = self._verified("link", token)
        return Link(str(claims["jti"]), caller_of(claims), str(claims["page"]), int(claims["session_until"]))

    def begin(self, response: Response, link: Link) -> None:
        """Put a new session into a response's cookie."""
        more = {"csrf": secrets.token_urlsafe(24), "jti": new_id("session")}
        token = self._signed("session", link.caller, link.session_until, more)
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
        """Take the cookie away."""
        response.delete_cookie(self.cookie, path="/", secure=self.is_secure, httponly=True, samesite="lax")

    def caller(self, token: str) -> Caller:
        """The caller of a session, with its id and its CSRF token. Raises BadToken."""
        claims = self._verified("session", token)
        if "jti" not in claims:
            raise BadToken("the session was begun by an earlier version")
        return replace(caller_of(claims), csrf=str(claims["csrf"]), session_id=str(claims["jti"]))

    def _signed(self, purpose: Purpose, caller: Caller, expires_at: int, more: dict[str, Any]) -> str:
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
