"""Authenticates requests by bearer token or session cookie, and checks scopes and CSRF tokens."""

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
from services.gateway.auth.tokens import InvalidToken, KeysUnavailable
from services.gateway.dependencies import GatewayState, state_of
from services.gateway.problem_details import ProblemError
from shared.ids import new_id

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SESSION_OVER = "The session is over. Open the page from a link again."
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


class RequiredScope(SecurityBase):
    """A dependency that returns the caller and rejects requests without the scope."""

    def __init__(self, scope: str) -> None:
        self.model = HTTPBearer(
            bearerFormat="JWT",
            description="Signed by the host application: `customer`, `scope`, `exp` and optionally `member`.",
        )
        self.scheme_name = "bearer"
        self._scope = scope

    async def __call__(self, request: Request) -> Caller:
        """Return the caller. Raises ProblemError."""
        state = state_of(request)
        caller = await identify(request, state)
        state.rate_limits.count_customer(caller.customer.token)
        if not caller.may(self._scope):
            raise ProblemError("insufficient_scope", f"This needs the scope {self._scope}.")
        return caller


async def identify(request: Request, state: GatewayState, *, changes: bool = True) -> Caller:
    """Authenticate a request and, with a session, check the CSRF token of a change. Raises ProblemError.

    With `changes` false the CSRF token is not checked, whatever the method; use it only where nothing is
    changed, for example to render an error page for the caller.
    """
    caller: Caller | None = getattr(request.state, "caller", None)
    if caller is None:
        authorization = request.headers.get("authorization")
        if authorization is not None:
            caller = await _authenticate_token(authorization, state)
        else:
            caller = await _authenticate_session(request, state)
        request.state.caller = caller
    if caller.session_id is not None and changes and request.method not in SAFE_METHODS:
        await _check_csrf(request, caller)
    return caller


async def _authenticate_session(request: Request, state: GatewayState) -> Caller:
    cookie = request.cookies.get(state.sessions.cookie)
    if cookie is None:
        raise _unauthenticated("Send a bearer token, or open the page from a link.")
    try:
        caller = state.sessions.caller(cookie)
    except InvalidToken:
        raise _unauthenticated(SESSION_OVER) from None
    if await state.session_records.is_ended(caller.session_id or ""):
        raise _unauthenticated(SESSION_OVER)
    return caller


async def sign_out(request: Request, state: GatewayState) -> None:
    """End the session of a request, so that no copy of its cookie is valid. Raises ProblemError."""
    caller = await identify(request, state)
    if caller.session_id is not None:
        await state.session_records.end_session(caller.session_id)


async def _authenticate_token(authorization: str, state: GatewayState) -> Caller:
    kind, _, token = authorization.partition(" ")
    if kind.lower() != "bearer":
        raise _unauthenticated("Authorization must be `Bearer` and a token.")
    try:
        return await state.tokens.caller(token.strip())
    except InvalidToken as error:
        raise _unauthenticated(f"The token is not accepted: {error}.") from None
    except KeysUnavailable:
        raise ProblemError("unavailable", "The keys that tokens are signed with cannot be read.") from None


async def _check_csrf(request: Request, caller: Caller) -> None:
    given = request.headers.get(CSRF_HEADER)
    if given is None and request.headers.get("content-type", "").startswith(_FORMS):
        field = (await request.form()).get(CSRF_FIELD)
        given = field if isinstance(field, str) else None
    is_cross_site = request.headers.get("sec-fetch-site") == "cross-site"
    if is_cross_site or not csrf_matches(caller, given):
        raise ProblemError("csrf_failed", "This did not come from a page of ours. Load the page again.")


def _unauthenticated(detail: str) -> ProblemError:
    return ProblemError("unauthenticated", detail, headers={"WWW-Authenticate": "Bearer"})


ReadCaller = Annotated[Caller, Depends(RequiredScope(READ))]
"""The caller, for routes that read the customer's billing."""
ManageCaller = Annotated[Caller, Depends(RequiredScope(MANAGE))]
"""The caller, for routes that change the customer's billing."""
AdminCaller = Annotated[Caller, Depends(RequiredScope(ADMIN))]
"""The caller, for routes of operators."""


def command_id_from_key(caller: Caller, key: str) -> str:
    """Return a command id made from a key and its customer; keys of two customers never collide."""
    digest = hashlib.sha256(f"{caller.customer.token}\n{key}".encode()).digest()
    return f"http_{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


async def _command_id(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(
            description="The command's id is made from this key and the customer: a repeated request with "
            "the same key has the same outcome and no second effect. Use a random key for each change. "
            "Without a key, every request is a new change.",
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
    caller = await identify(request, state_of(request), changes=False)
    return command_id_from_key(caller, idempotency_key)


RequestCommandId = Annotated[str, Depends(_command_id)]
"""The id of a route's command: made from the `Idempotency-Key`, else a new one."""
