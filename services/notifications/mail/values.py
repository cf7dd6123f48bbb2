"""The facts of a notification as the text of a mail: money, dates and numbers in the recipient's language."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.numbers import format_currency, format_decimal, format_percent, get_currency_precision

from services.notifications.domain.clean_text import (
    DESCRIPTION_MAX_CHARACTERS,
    TEXT_MAX_CHARACTERS,
    clean_text,
)
from services.notifications.domain.email_address import deliverable_address
from services.notifications.domain.kinds import SAMPLE_FACTS

NAMES = (*SAMPLE_FACTS, "takes_effect", "given_back")
"""All values that a text may use."""
MONEY = frozenset({"amount", "due"})
DAYS = frozenset(
    {"expires", "renews", "charged", "trial_end", "takes_effect", "ends", "ended", "grace_until", "arrives"}
)
MOMENTS = frozenset({"since"})
NUMBERS = frozenset({"seats", "quantity", "remaining", "attempts"})


def format_values(facts: Mapping[str, Any], language: str) -> dict[str, str | None]:
    """Return every value that texts may use; None for what the notification does not tell."""
    locale = Locale.parse(language)
    return {
        name: _format(name, facts[name], locale) if facts.get(name) is not None else None for name in NAMES
    }


def _format(name: str, fact: Any, locale: Locale) -> str:
    if name in MONEY:
        return _money(fact["amount"], fact["currency"], locale)
    if name in DAYS:
        return format_date(datetime.fromisoformat(fact), "long", locale=locale)
    if name in MOMENTS:
        return format_datetime(datetime.fromisoformat(fact), "medium", locale=locale) + " UTC"
    if name in NUMBERS:
        return format_decimal(fact, locale=locale)
    if name == "percent":
        return format_percent(fact / 100, locale=locale)
    if name == "holder" and deliverable_address(fact):
        return str(fact)
    return clean_text(str(fact), DESCRIPTION_MAX_CHARACTERS if name == "description" else TEXT_MAX_CHARACTERS)


def _money(amount: int, currency: str, locale: Locale) -> str:
    digits = get_currency_precision(currency.upper())
    return format_currency(Decimal(amount).scaleb(-digits), currency.upper(), locale=locale)
