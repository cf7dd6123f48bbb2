"""The problem responses that a route declares for the OpenAPI document."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from services.gateway.problem_details import MEDIA_TYPE, REFUSED, STATUS_OF_CODE, problem
from tallystick.messages.base import COMMON_REJECTIONS, Command, Request

PROBLEM_REF = {"$ref": "#/components/schemas/Problem"}
PUBLIC_CODES = ("invalid_message", "too_many_requests", "unavailable")
"""Problems of every route."""
SIGNED_IN_CODES = (*PUBLIC_CODES, "unauthenticated", "insufficient_scope")
"""Problems of every route that needs a caller."""
STRIPE_PAGE_CODES = ("not_billing_manager", "not_found", "payments_not_configured")
"""Problems of routes that send the customer to a page of Stripe's."""
POST_CODES = ("csrf_failed", "payload_too_large")
"""Problems of a POST that sends no command; for commands they are added automatically."""

Responses = dict[int | str, dict[str, Any]]


def problem_responses(
    *messages: type[Request[Any]], codes: Iterable[str] = (), signed_in: bool = True
) -> Responses:
    """Describe the problems of a route that sends these messages, by HTTP status."""
    found = {*(SIGNED_IN_CODES if signed_in else PUBLIC_CODES), *codes}
    for message in messages:
        found.update(message.rejections)
        if issubclass(message, Command):
            found |= {*COMMON_REJECTIONS, "payload_too_large"}
            found |= {"csrf_failed"} if signed_in else set()
    by_status: dict[int, list[str]] = {}
    for code in sorted(found):
        by_status.setdefault(STATUS_OF_CODE.get(code, REFUSED), []).append(code)
    return {status: _problem_response(status, codes) for status, codes in sorted(by_status.items())}


def _problem_response(status: int, codes: list[str]) -> dict[str, Any]:
    examples = {code: {"value": problem(code, "", {}, status)} for code in codes}
    phrase = HTTPStatus(status).phrase
    return {
        "description": f"{phrase}: {', '.join(f'`{code}`' for code in codes)}",
        "content": {MEDIA_TYPE: {"schema": PROBLEM_REF, "examples": examples}},
    }
