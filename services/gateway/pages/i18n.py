"""What the pages say, in English and German, with money and dates as each language writes them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml
from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.numbers import format_currency, format_decimal, get_currency_symbol
from starlette.requests import Request

from tallystick.messages.base import Money
from tallystick.money import minor_unit_digits

LANGUAGES = ("en", "de")
"""The first is spoken where nothing else is asked for."""
COOKIE = "language"
LOCALES_KEPT_MAX = 200
"""English is written in a hundred countries."""
COUNTRY = re.compile("[A-Za-z]{2}")
WEIGHT = re.compile(r"q\s*=\s*([01](?:\.[0-9]{0,3})?)", re.IGNORECASE)
LANGUAGES_READ_MAX = 20
"""Of an `Accept-Language`; browsers send a handful."""
_FOLDER = Path(__file__).parent / "translations"


@dataclass(frozen=True, slots=True)
class Words:
    """One language."""

    language: str
    locale: Locale
    texts: Mapping[str, str]

    def say(self, key: str, **values: Any) -> str:
        """A text with its values filled in; of a number `count`, the form that goes with it."""
        if "count" in values:
            key = f"{key}.{self.locale.plural_form(values['count'])}"
        return self.texts[key].format(**values)

    def knows(self, key: str) -> bool:
        """Whether there is such a text."""
        return key in self.texts

    def code(self, kind: str, code: str) -> str:
        """What a code of the messages is called; a code that has no name here is shown as it is."""
        return self.texts.get(f"{kind}.{code}", code.replace("_", " "))

    def money(self, amount: int, currency: str) -> str:
        """An amount in minor units, with the digits that its currency has."""
        digits = minor_unit_digits(currency)
        pattern = self.locale.currency_formats["standard"].pattern.replace("0.00", f"{0:.{digits}f}")
        if get_currency_symbol(currency.upper(), self.locale)[-1].isalpha():
            pattern = pattern.replace("¤#", "¤\xa0#")  # a code, unlike a sign, does not touch its number
        return format_currency(
            Decimal(amount).scaleb(-digits),
            currency.upper(),
            format=pattern,
            locale=self.locale,
            currency_digits=False,
        )

    def price(self, money: Money) -> str:
        """An amount of money."""
        return self.money(money.amount, money.currency)

    def number(self, number: int) -> str:
        """A number with its thousands apart."""
        return format_decimal(number, locale=self.locale)

    def date(self, moment: datetime) -> str:
        """The day of a moment, UTC."""
        return format_date(moment, "long", locale=self.locale)


@lru_cache(maxsize=LOCALES_KEPT_MAX)
def words_of(language: str, country: str = "") -> Words:
    """The words of one of `LANGUAGES`, with money and dates as a country writes them."""
    try:
        locale = Locale(language, country or None)
    except UnknownLocaleError:
        locale = Locale(language)
    return Words(language, locale, _texts(language))


@cache
def _texts(language: str) -> Mapping[str, str]:
    content = yaml.safe_load((_FOLDER / f"{language}.yaml").read_text(encoding="utf-8"))
    return dict(_flat(content))


def words_for(request: Request) -> Words:
    """The language chosen on the page, else the browser's, else English; dates as in its country."""
    chosen = request.cookies.get(COOKIE)
    spoken = (chosen,) if chosen in LANGUAGES else LANGUAGES
    for wanted in _wanted(request.headers.get("accept-language", "")):
        language, _, country = wanted.partition("-")
        if language.lower() in spoken:
            return words_of(language.lower(), country.upper() if COUNTRY.fullmatch(country) else "")
    return words_of(spoken[0])


def _wanted(header: str) -> list[str]:
    """The languages of an `Accept-Language`, the most wanted first, without those that it rules out."""
    weighed = [_weighed(part) for part in header.split(",")[:LANGUAGES_READ_MAX]]
    return [language for language, weight in sorted(weighed, key=lambda one: -one[1]) if weight > 0]


def _weighed(part: str) -> tuple[str, float]:
    language, _, weight = part.partition(";")
    found = WEIGHT.fullmatch(weight.strip())
    return language.strip(), float(found[1]) if found else 1.0


def _flat(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    flat = []
    for key, value in content.items():
        if isinstance(value, Mapping):
            flat += _flat(value, f"{prefix}{key}.")
        else:
            flat.append((f"{prefix}{key}", str(value)))
    return flat
