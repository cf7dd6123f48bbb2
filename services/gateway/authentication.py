"""Who is calling, checked before a route runs: by bearer token or cookie, and whether the scope allows it."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from services.gateway.callers import ADMIN, MANAGE, READ, Caller
from services.gateway.parts import Parts
from services.gateway.problems import Refused
from services.gateway.sessions import CSRF_FIELD, CSRF_HEADER, csrf_matches
from services.gateway.tokens import BadToken, KeysAway

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_FORM = "application/x-www-form-urlencoded"


class SignedIn(SecurityBase):
    """A dependency that gives the caller, and refuses whoever may not do what the route does."""

    def __init__(self, scope: str) -> None:
        self.model = HTTPBearer(
            bearerFormat="JWT",
            description="Signed by the host application: `customer`, `scope`, `exp`, perhaps `member`.",
        )
        self.scheme_name = "bearer"
        self._scope = scope

    async def __call__(self, request: Request) -> Caller:
        """The caller. Raises Refused."""
        parts: Parts = request.app.state.parts
        caller = await identify(request, parts)
        parts.rates.count_customer(caller.customer.token)
        if not caller.may(self._scope):
            raise Refused("insufficient_scope", f"This needs the scope {self._scope}.")
        return caller


async def identify(request: Request, parts: Parts, *, changes: bool = True) -> Caller:
    """Whose request it is. Raises Refused: nobody's, or a change without the session's CSRF token.

    With `changes` false nothing will be changed, whatever the method: who it is is asked only to show them
    their page.
    """
    authorization = request.headers.get("authorization")
    if authorization is not None:
        return await _by_token(authorization, parts)
    cookie = request.cookies.get(parts.sessions.cookie)
    if cookie is None:
        raise _unauthenticated("Send a bearer token, or open the page from a link.")
    try:
        caller = parts.sessions.caller(cookie)
    except BadToken:
        raise _unauthenticated("The session is over. Open the page from a link again.") from None
    if changes and request.method not in SAFE_METHODS:
        await _check_csrf(request, caller)
    return caller


async def _by_token(authorization: str, parts: Parts) -> Caller:
    kind, _, token = authorization.partition(" ")
    if kind.lower() != "bearer":
        raise _unauthenticated("Authorization must be `Bearer` and a token.")
    try:
        return await parts.tokens.caller(token.strip())
    except BadToken as error:
        raise _unauthenticated(f"The token is not accepted: {error}.") from None
    except KeysAway:
        raise Refused("unavailable", "The keys that tokens are signed with cannot be read.") from None


async def _check_csrf(request: Request, caller: Caller) -> None:
    given = request.headers.get(CSRF_HEADER)
    if given is None and request.headers.get("content-type", "").startswith(_FORM):
        field = (await request.form()).get(CSRF_FIELD)
        given = field if isinstance(field, str) else None
    elsewhere = request.headers.get("sec-fetch-site") == "cross-site"
    if elsewhere or not csrf_matches(caller, given):
        raise Refused("csrf_failed", "This did not come from a page of ours. Load the page again.")


def _unauthenticated(detail: str) -> Refused:
    return Refused("unauthenticated", detail, headers={"WWW-Authenticate": "Bearer"})


Reading = Annotated[Caller, Depends(SignedIn(READ))]
"""For routes that show the calling customer's billing."""
Managing = Annotated[Caller, Depends(SignedIn(MANAGE))]
"""For routes that change it."""
Operating = Annotated[Caller, Depends(SignedIn(ADMIN))]
"""For routes of operators."""


def caller_token(caller: Caller) -> str:
    """Who acts, as one token; kept in the audit trail of commands as `requested_by`."""
    return caller.person.token
