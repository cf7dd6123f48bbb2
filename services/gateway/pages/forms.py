"""Form fields, parsers and redirects that all forms of the pages share."""

import re
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from services.gateway.auth.authentication import command_id_from_key, identify
from services.gateway.dependencies import state_of
from services.gateway.pages.templating import COMMAND_FIELD
from services.gateway.problem_details import ProblemError
from tallystick.messages.base import CommandId
from tallystick.money import minor_unit_digits


async def _form_command_id(request: Request, key: Annotated[CommandId, Form(alias=COMMAND_FIELD)]) -> str:
    caller = await identify(request, state_of(request), changes=False)
    return command_id_from_key(caller, key)


FormCommandId = Annotated[str, Depends(_form_command_id)]
"""The id of the command, made from a key in the form: a form sent twice is carried out once."""
Text = Annotated[str, Form(max_length=500)]
LongText = Annotated[str, Form(max_length=60_000)]
"""A list of 500 addresses."""
SEE_OTHER = 303
DIGITS_MAX = 18
"""A number with this many digits always fits into 64 bits."""


def redirect_to_billing(done: str, section: str = "") -> Response:
    """Redirect to the billing page, which shows what was done."""
    return RedirectResponse(f"/billing?done={quote(done)}{f'#{section}' if section else ''}", SEE_OTHER)


def redirect(url: str) -> Response:
    """Redirect to a URL, such as a page of Stripe's."""
    return RedirectResponse(url, SEE_OTHER)


def parse_number(text: str) -> int | None:
    """Parse a whole number from a form; return None if the field is empty. Raises ProblemError."""
    digits = "".join(text.split())
    if not digits:
        return None
    if not (digits.isascii() and digits.isdigit() and len(digits) <= DIGITS_MAX):
        raise ProblemError("invalid_number")
    return int(digits)


def parse_amount(text: str, currency: str) -> int | None:
    """Parse an amount such as `100`, `99.50` or `99,50` into minor units; None if the field is empty.

    Raises ProblemError.
    """
    compact = "".join(text.split())
    if not compact:
        return None
    found = re.fullmatch(r"([0-9]{1,15})(?:[.,]([0-9]+))?", compact)
    digits = minor_unit_digits(currency)
    # With more digits than the currency has, `1,000` could be a thousand or one.
    if found is None or len(found[2] or "") > digits:
        raise ProblemError("invalid_amount")
    return int(found[1] + (found[2] or "").ljust(digits, "0"))
