"""What every form of the pages brings along, and how an action ends: on the page again, or on Stripe's."""

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Form
from starlette.responses import RedirectResponse, Response

from services.gateway.callers import Caller
from services.gateway.pages.rendering import COMMAND_FIELD
from services.gateway.problems import Refused
from tallystick.messages.base import INT64_MAX, CommandId
from tallystick.money import minor_unit_digits

FormCommandId = Annotated[CommandId, Form(alias=COMMAND_FIELD)]
"""Made with the form: a form that is sent twice asks for one thing."""
Text = Annotated[str, Form(max_length=500)]
LongText = Annotated[str, Form(max_length=60_000)]
"""A column of 500 addresses."""
SEE_OTHER = 303
DIGITS_MAX = 18
"""Of a number that fits into 64 bits whatever its digits."""


def back(done: str, section: str = "") -> Response:
    """The billing page again, which says what was done."""
    return RedirectResponse(f"/billing?done={quote(done)}{f'#{section}' if section else ''}", SEE_OTHER)


def away(url: str) -> Response:
    """A page of Stripe's."""
    return RedirectResponse(url, SEE_OTHER)


def asked_by(caller: Caller, command_id: str) -> dict[str, Any]:
    """The fields that every command of a page has."""
    return {"command_id": command_id, "requested_by": caller.person.token}


def number(typed: str) -> int | None:
    """A whole number as somebody typed it; None where there is none. Raises Refused."""
    digits = "".join(typed.split())
    if not digits:
        return None
    if not (digits.isascii() and digits.isdigit() and len(digits) <= DIGITS_MAX):
        raise Refused("invalid_number")
    return int(digits)


def amount(typed: str, currency: str) -> int | None:
    """Money as somebody typed it, `100`, `99.50` or `99,50`, in minor units; None where there is none."""
    text = typed.strip().replace(",", ".")
    if not text:
        return None
    try:
        exact = Decimal(text).scaleb(minor_unit_digits(currency))
    except InvalidOperation:
        exact = Decimal("0.1")
    if exact != exact.to_integral_value() or not 0 <= exact < INT64_MAX:
        raise Refused("invalid_amount")
    return int(exact)
