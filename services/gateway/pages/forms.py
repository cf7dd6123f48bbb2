"""What every form of the pages brings along, and how an action ends: on the page again, or on Stripe's."""

import re
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from services.gateway.auth.authentication import command_id_of, identify
from services.gateway.pages.templating import COMMAND_FIELD
from services.gateway.problem_details import ProblemError
from tallystick.messages.base import CommandId
from tallystick.money import minor_unit_digits


async def _form_command_id(request: Request, key: Annotated[CommandId, Form(alias=COMMAND_FIELD)]) -> str:
    caller = await identify(request, request.app.state.parts, changes=False)
    return command_id_of(caller, key)


FormCommandId = Annotated[str, Depends(_form_command_id)]
"""The id of the command, made from a key in the form: a form sent twice is carried out once."""
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


def number(typed: str) -> int | None:
    """A whole number as somebody typed it; None where there is none. Raises ProblemError."""
    digits = "".join(typed.split())
    if not digits:
        return None
    if not (digits.isascii() and digits.isdigit() and len(digits) <= DIGITS_MAX):
        raise ProblemError("invalid_number")
    return int(digits)


def amount(typed: str, currency: str) -> int | None:
    """Money as somebody typed it, `100`, `99.50` or `99,50`, in minor units; None where there is none."""
    text = "".join(typed.split())
    if not text:
        return None
    found = re.fullmatch(r"([0-9]{1,15})(?:[.,]([0-9]+))?", text)
    digits = minor_unit_digits(currency)
    # With more digits than the currency has, `1,000` may be a thousand as well as one.
    if found is None or len(found[2] or "") > digits:
        raise ProblemError("invalid_amount")
    return int(found[1] + (found[2] or "").ljust(digits, "0"))
