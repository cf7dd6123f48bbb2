"""Translates the pages into English and German, and formats money, numbers and dates."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml
from babel import Locale, localedata, negotiate_locale
from babel.dates import format_date, format_skeleton
from babel.numbers import format_currency, format_decimal, get_currency_symbol
from starlette.requests import Request

from tallystick.messages.base import Money
from tallystick.money import minor_unit_digits

LANGUAGES = ("en", "de")
"""The languages of the pages; the first is the default."""
COOKIE = "language"
CACHED_LOCALES_MAX = 200
"""There are about a hundred English locales."""
ACCEPTED_LANGUAGES_MAX = 20
"""How many entries of an `Accept-Language` are read; browsers send a handful."""
_QUALITY = re.compile(r"q\s*=\s*([01](?:\.[0-9]{0,3})?)", re.IGNORECASE)
_LANGUAGE_AND_COUNTRY = re.compile("([a-z]{2})(_[A-Z]{2})?")
_FOLDER = Path(__file__).parent / "translations"


@dataclass(frozen=True, slots=True)
class Translations:
    """The texts of one language, and the formats of one locale."""

    language: str
    locale: Locale
    texts: Mapping[str, str]

    def translate(self, key: str, **values: Any) -> str:
        """Return a text with its values filled in, in the plural form for `count` if that is given."""
        if "count" in values:
            key = f"{key}.{self.locale.plural_form(values['count'])}"
        return self.texts[key].format(**values)

    def has_text(self, key: str) -> bool:
        """Return whether there is a text for a key."""
        return key in self.texts

    def label(self, kind: str, code: str) -> str:
        """Return the name of a code of the messages, or the code itself if it has none."""
        return self.texts.get(f"{kind}.{code}", code.replace("_", " "))

    def money(self, amount: int, currency: str) -> str:
        """Format an amount in minor units, with the currency's number of digits."""
        digits = minor_unit_digits(currency)
        pattern = self.locale.currency_formats["standard"].pattern.replace("0.00", f"{0:.{digits}f}")
        if get_currency_symbol(currency.upper(), self.locale)[-1].isalpha():
            pattern = pattern.replace("¤#", "¤\xa0#")  # a code is separated from its number, a symbol is not
        return format_currency(
            Decimal(amount).scaleb(-digits),
            currency.upper(),
            format=pattern,
            locale=self.locale,
            currency_digits=False,
        )

    def price(self, money: Money) -> str:
        """Format an amount of money."""
        return self.money(money.amount, money.currency)

    def number(self, number: int) -> str:
        """Format a number with thousands separators."""
        return format_decimal(number, locale=self.locale)

    def date(self, moment: datetime) -> str:
        """Format the day of a moment, in UTC."""
        return format_date(moment, "long", locale=self.locale)

    def short_day(self, moment: datetime) -> str:
        """Format the day of a moment without its year, such as `1 Nov`."""
        return format_skeleton("MMMd", moment, locale=self.locale)

    def month(self, moment: datetime) -> str:
        """Format the month of a moment, such as `November 2026`."""
        return format_skeleton("yMMMM", moment, locale=self.locale)


@lru_cache(maxsize=CACHED_LOCALES_MAX)
def load_translations(locale: str) -> Translations:
    """Return the translations for a locale such as `de` or `de_AT`, whose language is one of `LANGUAGES`."""
    parsed = Locale.parse(locale)
    return Translations(parsed.language, parsed, _load_texts(parsed.language))


def translations_for_request(request: Request) -> Translations:
    """Return the translations in the language of the cookie, else of the browser, else in English.

    The country of a browser's locale decides how money and dates are formatted.
    """
    cookie = request.cookies.get(COOKIE)
    languages = (cookie,) if cookie in LANGUAGES else LANGUAGES
    accepted = _accepted_locales(request.headers.get("accept-language", ""))
    return load_translations(negotiate_locale(accepted, _locales_of(languages), aliases={}) or languages[0])


@cache
def _locales_of(languages: tuple[str, ...]) -> tuple[str, ...]:
    """Return the locales of languages: each language alone, and with a country."""
    found = (_LANGUAGE_AND_COUNTRY.fullmatch(locale) for locale in localedata.locale_identifiers())
    return tuple(match[0] for match in found if match and match[1] in languages)


@cache
def _load_texts(language: str) -> Mapping[str, str]:
    content = yaml.safe_load((_FOLDER / f"{language}.yaml").read_text(encoding="utf-8"))
    return dict(_flatten(content))


def _accepted_locales(header: str) -> list[str]:
    """Return the locales of an `Accept-Language`, the most preferred first, without those with quality 0."""
    entries = [_locale_and_quality(entry) for entry in header.split(",")[:ACCEPTED_LANGUAGES_MAX]]
    return [locale for locale, quality in sorted(entries, key=lambda entry: -entry[1]) if quality > 0]


def _locale_and_quality(entry: str) -> tuple[str, float]:
    language, _, parameter = entry.partition(";")
    quality = _QUALITY.fullmatch(parameter.strip())
    return language.strip().replace("-", "_"), float(quality[1]) if quality else 1.0


def _flatten(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    flat = []
    for key, value in content.items():
        if isinstance(value, Mapping):
            flat += _flatten(value, f"{prefix}{key}.")
        else:
            flat.append((f"{prefix}{key}", str(value)))
    return flat
