"""What goes wrong, as `application/problem+json` (RFC 9457) with the codes of the contract."""

from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, JsonValue, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tallystick.messages.base import ErrorBody

MEDIA_TYPE = "application/problem+json"
STATUS_OF_CODE = {
    "unauthenticated": 401,
    "link_expired": 401,
    "insufficient_scope": 403,
    "csrf_failed": 403,
    "email_unverified": 403,
    "forbidden": 403,
    "not_billing_manager": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "idempotency_conflict": 409,
    "already_subscribed": 409,
    "changed_meanwhile": 409,
    "no_seat_available": 409,
    "not_retriable": 409,
    "recharge_in_flight": 409,
    "seat_already_assigned": 409,
    "seats_in_use": 409,
    "stripe_customer_taken": 409,
    "request_timeout": 408,
    "payload_too_large": 413,
    "too_many_requests": 429,
    "payments_not_configured": 503,
    "unavailable": 503,
}
"""Every code that is not simply a refusal."""
REFUSED = 400
NOT_JSON = "The body is not JSON."
_FROM_STATUS = {400: "invalid_message", 401: "unauthenticated", 403: "forbidden", 404: "not_found"}
_FROM_STATUS |= {405: "method_not_allowed", 413: "payload_too_large", 429: "too_many_requests"}


class Problem(BaseModel):
    """Why a request did not succeed, for programs (`code`) and for people (`detail`)."""

    type: str = Field(description="`urn:tallystick:problem:` and the code.")
    title: str = Field(description="The code in words.")
    status: int = Field(description="The HTTP status.")
    code: str = Field(description="One of the codes of the contract.")
    detail: str = Field(description="What went wrong and what to do about it.")
    details: JsonValue = Field(description="The facts behind it, by code.")


class ProblemError(Exception):
    """Raised anywhere in a route; becomes a problem."""

    def __init__(
        self, code: str, detail: str = "", details: JsonValue = None, *, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.details: JsonValue = {} if details is None else details
        self.headers = headers or {}
        self.status = STATUS_OF_CODE.get(code, REFUSED)

    @classmethod
    def because(cls, error: ErrorBody | None) -> "ProblemError":
        """As a service said it."""
        if error is None:
            return cls("unavailable", "The service gave no reason.")
        return cls(error.code, error.message, error.details)


def problem(code: str, detail: str, details: JsonValue, status: int) -> dict[str, Any]:
    """A problem as JSON."""
    title = code.replace("_", " ").capitalize()
    return Problem(
        type=f"urn:tallystick:problem:{code}",
        title=title,
        status=status,
        code=code,
        detail=detail or f"{title}.",
        details=details,
    ).model_dump()


def problem_response(refused: ProblemError) -> Response:
    """A refusal as a response."""
    content = problem(refused.code, refused.detail, refused.details, refused.status)
    return Response(
        orjson.dumps(content, default=str), refused.status, refused.headers, media_type=MEDIA_TYPE
    )


def answer_with_problems(application: FastAPI) -> None:
    """Have everything that can go wrong in a route answered as a problem."""

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, ProblemError)
        return problem_response(error)

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError | ValidationError)
        if any(problem["type"] == "json_invalid" for problem in error.errors()):
            return problem_response(ProblemError("invalid_message", NOT_JSON))
        return problem_response(invalid_message(error.errors()))

    async def by_status(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return problem_response(refusal_of(error))

    async def unexpected(_: Request, __: Exception) -> Response:
        return problem_response(ProblemError("unavailable", "Something went wrong on our side. Try again."))

    application.add_exception_handler(ProblemError, refused)
    application.add_exception_handler(RequestValidationError, invalid)
    # A message that a route was about to send: what it was made of came from the request.
    application.add_exception_handler(ValidationError, invalid)
    application.add_exception_handler(HTTPException, by_status)
    application.add_exception_handler(Exception, unexpected)


def refusal_of(error: HTTPException) -> ProblemError:
    """What the framework has refused, as a refusal of ours."""
    code = _FROM_STATUS.get(error.status_code, "invalid_message")
    detail = HTTPStatus(error.status_code).description or HTTPStatus(error.status_code).phrase
    if error.status_code == REFUSED:
        detail = NOT_JSON
    return ProblemError(code, detail, headers=dict(error.headers or {}))


def invalid_message(errors: Any) -> ProblemError:
    """The contract's `invalid_message`, naming each field that is wrong."""
    fields: list[JsonValue] = [
        {
            "field": ".".join(_shown(part) for part in error["loc"] if part not in ("body", "query", "path")),
            "problem": _shown(error["msg"]),
        }
        for error in errors
    ]
    return ProblemError(
        "invalid_message", "The request has missing, wrong or unknown fields.", {"fields": fields}
    )


def _shown(part: Any) -> str:
    # A field's name comes from outside too: lone surrogates in it are not UTF-8.
    return str(part).encode(errors="replace").decode()
