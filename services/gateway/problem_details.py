"""Errors as `application/problem+json` responses (RFC 9457) with the codes of the contract."""

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
    "license_key_invalid": 401,
    "insufficient_scope": 403,
    "csrf_failed": 403,
    "email_unverified": 403,
    "forbidden": 403,
    "not_entitled": 403,
    "not_billing_manager": 403,
    "license_expired": 403,
    "license_revoked": 403,
    "license_suspended": 403,
    "not_found": 404,
    "link_invalid": 404,
    "method_not_allowed": 405,
    "idempotency_conflict": 409,
    "already_connected": 409,
    "already_subscribed": 409,
    "not_connected": 409,
    "onboarding_incomplete": 409,
    "payouts_not_enabled": 409,
    "invitation_ended": 409,
    "too_many_endpoints": 409,
    "amount_changed": 409,
    "changed_meanwhile": 409,
    "already_refunded": 409,
    "invoice_disputed": 409,
    "invoice_not_paid": 409,
    "no_seat_available": 409,
    "not_retriable": 409,
    "recharge_in_flight": 409,
    "license_ended": 409,
    "license_in_use": 409,
    "license_key_shown": 409,
    "no_next_signing_key": 409,
    "not_activated": 409,
    "seat_already_assigned": 409,
    "seats_in_use": 409,
    "stripe_customer_taken": 409,
    "request_timeout": 408,
    "payload_too_large": 413,
    "too_many_requests": 429,
    "payments_not_configured": 503,
    "benefits_not_configured": 503,
    "unavailable": 503,
}
"""The HTTP status of each code; any other code is a 400."""
REFUSED = 400
NOT_JSON = "The body is not JSON."
_CODE_OF_STATUS = {400: "invalid_message", 401: "unauthenticated", 403: "forbidden", 404: "not_found"}
_CODE_OF_STATUS |= {405: "method_not_allowed", 413: "payload_too_large", 429: "too_many_requests"}


class Problem(BaseModel):
    """Why a request failed, for programs (`code`) and for people (`detail`)."""

    type: str = Field(description="`urn:tallystick:problem:` and the code.")
    title: str = Field(description="The code in words.")
    status: int = Field(description="The HTTP status.")
    code: str = Field(description="One of the codes of the contract.")
    detail: str = Field(description="What went wrong and what to do about it.")
    details: JsonValue = Field(description="The facts behind it, by code.")


class ProblemError(Exception):
    """An error that becomes a problem response; routes and dependencies raise it."""

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
    def from_error_body(cls, error: ErrorBody | None) -> "ProblemError":
        """Create the error from a service's rejection."""
        if error is None:
            return cls("unavailable", "The service gave no reason.")
        return cls(error.code, error.message, error.details)


def problem(code: str, detail: str, details: JsonValue, status: int) -> dict[str, Any]:
    """Return a problem as JSON."""
    title = code.replace("_", " ").capitalize()
    return Problem(
        type=f"urn:tallystick:problem:{code}",
        title=title,
        status=status,
        code=code,
        detail=detail or f"{title}.",
        details=details,
    ).model_dump()


def problem_response(error: ProblemError) -> Response:
    """Return an error as a problem response."""
    content = problem(error.code, error.detail, error.details, error.status)
    return Response(orjson.dumps(content, default=str), error.status, error.headers, media_type=MEDIA_TYPE)


def add_problem_handlers(application: FastAPI) -> None:
    """Register the exception handlers that answer errors with problem responses."""

    async def on_problem_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, ProblemError)
        return problem_response(error)

    async def on_validation_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError | ValidationError)
        if any(problem["type"] == "json_invalid" for problem in error.errors()):
            return problem_response(ProblemError("invalid_message", NOT_JSON))
        return problem_response(invalid_message(error.errors()))

    async def on_http_exception(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return problem_response(problem_from_http_exception(error))

    async def on_exception(_: Request, __: Exception) -> Response:
        return problem_response(ProblemError("unavailable", "Something went wrong on our side. Try again."))

    application.add_exception_handler(ProblemError, on_problem_error)
    application.add_exception_handler(RequestValidationError, on_validation_error)
    # Raised while a route builds a message, whose fields come from the request.
    application.add_exception_handler(ValidationError, on_validation_error)
    application.add_exception_handler(HTTPException, on_http_exception)
    application.add_exception_handler(Exception, on_exception)


def problem_from_http_exception(error: HTTPException) -> ProblemError:
    """Convert an HTTPException of the framework."""
    code = _CODE_OF_STATUS.get(error.status_code, "invalid_message")
    detail = HTTPStatus(error.status_code).description or HTTPStatus(error.status_code).phrase
    if error.status_code == REFUSED:
        detail = NOT_JSON
    return ProblemError(code, detail, headers=dict(error.headers or {}))


def invalid_message(errors: Any) -> ProblemError:
    """Return `invalid_message` with each invalid field."""
    fields: list[JsonValue] = [
        {
            "field": ".".join(_utf8(part) for part in error["loc"] if part not in ("body", "query", "path")),
            "problem": _utf8(error["msg"]),
        }
        for error in errors
    ]
    return ProblemError(
        "invalid_message", "The request has missing, wrong or unknown fields.", {"fields": fields}
    )


def _utf8(part: Any) -> str:
    # Field names come from the request as well and may contain lone surrogates, which are not UTF-8.
    return str(part).encode(errors="replace").decode()
