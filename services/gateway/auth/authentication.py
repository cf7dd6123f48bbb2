"""Who is calling, checked before a route runs: by bearer token or cookie, and whether the scope allows it."""

import base64
import hashlib
import re
from typing import Annotated

from fastapi import Depends, Header, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from pydantic import JsonValue

from services.gateway.auth.principal import ADMIN, MANAGE, READ, Caller
from services.gateway.auth.sessions import CSRF_FIELD, CSRF_HEADER, csrf_matches
from services.gateway.auth.tokens import BadToken, KeysAway
from services.gateway.dependencies import Parts
from services.gateway.problem_details import ProblemError
from shared.ids import new_id

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SESSION_OVER = "The session is over. Open the page from a link again."
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
        """The caller. Raises ProblemError."""
        parts: Parts = request.app.state.parts
        caller = await identify(request, parts)
        parts.rates.count_customer(caller.customer.token)
        if not caller.may(self._scope):
            raise ProblemError("insufficient_scope", f"This needs the scope {self._scope}.")
        return caller


async def identify(request: Request, parts: Parts, *, changes: bool = True) -> Caller:
    """Whose request it is. Raises ProblemError: nobody's, or a change without the session's CSRF token.

    With `changes` false nothing will be changed, whatever the method: who it is is asked only to show them
    their page.
    """
    caller: Caller | None = getattr(request.state, "caller", None)
    if caller is None:
        authorization = request.headers.get("authorization")
        if authorization is not None:
            caller = await _by_token(authorization, parts)
        else:
            caller = await _by_session(request, parts)
        request.state.caller = caller
    if caller.session_id is not None and changes and request.method not in SAFE_METHODS:
        await _check_csrf(request, caller)
    return caller


async def _by_session(request: Request, parts: Parts) -> Caller:
    cookie = request.cookies.get(parts.sessions.cookie)
    if cookie is None:
        raise _unauthenticated("Send a bearer token, or open the page from a link.")
    try:
        caller = parts.sessions.caller(cookie)
    except BadToken:
        raise _unauthenticated(SESSION_OVER) from None
    if await parts.session_records.is_ended(caller.session_id or ""):
        raise _unauthenticated(SESSION_OVER)
    return caller


async def sign_out(request: Request, parts: Parts) -> None:
    """End a request's session, for every copy of its cookie. Raises ProblemError."""
    caller = await identify(request, parts)
    if caller.session_id is not None:
        await parts.session_records.end_session(caller.session_id)


async def _by_token(authorization: str, parts: Parts) -> Caller:
    kind, _, token = authorization.partition(" ")
    if kind.lower() != "bearer":
        raise _unauthenticated("Authorization must be `Bearer` and a token.")
    try:
        return await parts.tokens.caller(token.strip())
    except BadToken as error:
        raise _unauthenticated(f"The token is not accepted: {error}.") from None
    except KeysAway:
        raise ProblemError("unavailable", "The keys that tokens are signed with cannot be read.") from None


async def _check_csrf(request: Request, caller: Caller) -> None:
    given = request.headers.get(CSRF_HEADER)
    if given is None and request.headers.get("content-type", "").startswith(_FORM):
        field = (await request.form()).get(CSRF_FIELD)
        given = field if isinstance(field, str) else None
    elsewhere = request.headers.get("sec-fetch-site") == "cross-site"
    if elsewhere or not csrf_matches(caller, given):
        raise ProblemError("csrf_failed", "This did not come from a page of ours. Load the page again.")


def _unauthenticated(detail: str) -> ProblemError:
    return ProblemError("unauthenticated", detail, headers={"WWW-Authenticate": "Bearer"})


Reading = Annotated[Caller, Depends(SignedIn(READ))]
"""For routes that show the calling customer's billing."""
Managing = Annotated[Caller, Depends(SignedIn(MANAGE))]
"""For routes that change it."""
Operating = Annotated[Caller, Depends(SignedIn(ADMIN))]
"""For routes of operators."""


def command_id_of(caller: Caller, key: str) -> str:
    """The id of a command from a caller's own key, which nobody else's key can meet."""
    digest = hashlib.sha256(f"{caller.customer.token}\n{key}".encode()).digest()
    return f"http_{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


async def _command_id(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(
            description="The command's id is made from it and the customer: the same key and request again "
            "have the same outcome, and no second effect. Use a random one for each wish. Without it every "
            "request is a new wish.",
            min_length=1,
            max_length=128,
            examples=["6f1c2a52-7d0b-4b0e-9a57-0c1f3f4f9a10"],
        ),
    ] = None,
) -> str:
    if idempotency_key is None:
        return new_id("http")
    if not re.fullmatch(r"[\x21-\x7e]+", idempotency_key):
        problem: JsonValue = {"field": "Idempotency-Key", "problem": "must be visible ASCII without spaces"}
        raise ProblemError("invalid_message", "The Idempotency-Key cannot be one.", {"fields": [problem]})
    caller = await identify(request, request.app.state.parts, changes=False)
    return command_id_of(caller, idempotency_key)


CommandKey = Annotated[str, Depends(_command_id)]
"""A command's id: made from the caller's `Idempotency-Key`, else a new one."""
