"""Texts of the pages: languages, rejections, and amounts as people read and type them."""

import re
from datetime import UTC, datetime
from pathlib import Path
from string import Formatter

import pytest
from starlette.requests import Request

from services.gateway.pages.error_messages import error_message
from services.gateway.pages.forms import parse_amount
from services.gateway.pages.i18n import LANGUAGES, Translations, load_translations, translations_for_request
from services.gateway.pages.price_text import format_amount_input, format_custom_price, format_price
from services.gateway.problem_details import ProblemError
from tallystick.messages import consumables, notifications, payouts, seats, subscriptions
from tallystick.messages.base import COMMON_REJECTIONS, Money
from tallystick.messages.catalog import Interval, Price

PAGES = Path("services/gateway/pages")
EN, DE = load_translations("en"), load_translations("de")
NBSP = "\xa0"
ON_PAGES = (
    subscriptions.StartCheckout,
    subscriptions.CreateSubscription,
    subscriptions.PreviewChange,
    subscriptions.ChangePlan,
    subscriptions.CancelScheduledChange,
    subscriptions.CancelSubscription,
    subscriptions.ReactivateSubscription,
    subscriptions.OpenPortal,
    subscriptions.PurchaseAddOn,
    subscriptions.CancelAddOn,
    subscriptions.RefundInvoice,
    consumables.SetAutoRecharge,
    seats.AssignSeat,
    seats.AssignSeats,
    seats.ResendInvitation,
    seats.RevokeSeat,
    seats.ReplaceSeat,
    seats.ChangeSeatCount,
    seats.PreviewSeatChange,
    seats.ClaimSeat,
    seats.GetInvitation,
    payouts.ConnectAccount,
    payouts.OpenOnboarding,
    payouts.OpenSellerDashboard,
    payouts.SetPayoutSchedule,
    payouts.PayOut,
    notifications.SetPreferences,
    notifications.CreateEndpoint,
    notifications.UpdateEndpoint,
    notifications.Redeliver,
)
"""The messages that pages send; each of their rejections has a text."""


def speaking(header: str, cookie: str = "") -> Request:
    """A request of a browser that prefers these languages."""
    headers = [(b"accept-language", header.encode()), (b"cookie", cookie.encode())]
    return Request({"type": "http", "headers": headers})


def test_every_language_says_the_same_with_the_same_values() -> None:
    english = load_translations("en").texts
    for language in LANGUAGES:
        texts = load_translations(language).texts
        assert texts.keys() == english.keys()
        for key, text in texts.items():
            # Languages differ in which plural form has the number; all other placeholders are the same.
            values = {name for _, name, _, _ in Formatter().parse(text) if name}
            others = {name for _, name, _, _ in Formatter().parse(english[key]) if name}
            assert values == others, key


def test_every_refusal_of_what_pages_ask_is_told_in_words() -> None:
    codes = {code for message in ON_PAGES for code in message.rejections} | set(COMMON_REJECTIONS)
    codes |= {"unauthenticated", "link_expired", "forbidden", "insufficient_scope", "csrf_failed"}
    codes |= {
        "not_found",
        "method_not_allowed",
        "changed_meanwhile",
        "payload_too_large",
        "too_many_requests",
    }
    for language in LANGUAGES:
        assert [
            code for code in sorted(codes) if not load_translations(language).has_text(f"error.{code}")
        ] == []


@pytest.mark.parametrize(
    ("header", "cookie", "language", "written"),
    [
        ("en-US,en;q=0.9", "", "en", "€1,234.50"),
        ("fr-FR, de-DE;q=0.8, en;q=0.5", "", "de", "1.234,50\xa0€"),
        ("de-AT", "", "de", "€\xa01.234,50"),
        ("fr, de;q=0.5, en;q=0.9", "", "en", "€1,234.50"),
        ("de;q=0, en;q=0.1", "", "en", "€1,234.50"),
        ("en;q=0.50, de; q=0.501", "", "de", "1.234,50\xa0€"),
        ("de-DE", "language=en", "en", "€1,234.50"),
        ("en-XX, de", "", "en", "€1,234.50"),
        ("tlh, *;q=0.1", "", "en", "€1,234.50"),
        ("", "language=klingon", "en", "€1,234.50"),
    ],
)
def test_the_browsers_language_and_country_decide(
    header: str, cookie: str, language: str, written: str
) -> None:
    translations = translations_for_request(speaking(header, cookie))
    assert (translations.language, translations.money(123450, "eur")) == (language, written)


@pytest.mark.parametrize(
    ("typed", "currency", "minor_units"),
    [
        ("", "eur", None),
        (" 100 ", "eur", 10_000),
        ("99.5", "eur", 9_950),
        ("99,50", "eur", 9_950),
        ("0.01", "eur", 1),
        ("300", "jpy", 300),
        ("1.250", "kwd", 1_250),
    ],
)
def test_an_amount_is_read_as_it_was_meant(typed: str, currency: str, minor_units: int | None) -> None:
    assert parse_amount(typed, currency) == minor_units


@pytest.mark.parametrize("typed", ["1,000", "1.000,00", "99.999", "1e3", "-5", "ten", "٣", "NaN", "9" * 30])
def test_an_amount_that_could_mean_two_things_is_refused(typed: str) -> None:
    # In Germany 1.000 is a thousand, elsewhere one: neither is guessed.
    with pytest.raises(ProblemError, match="invalid_amount"):
        parse_amount(typed, "eur")


@pytest.mark.parametrize(
    ("minor_units", "currency", "language", "typed"),
    [
        (30_000, "eur", "en", "300"),
        (9_950, "eur", "en", "99.50"),
        (9_950, "eur", "de", "99,50"),
        (123_456_700, "eur", "de", "1234567"),
        (300, "jpy", "de", "300"),
    ],
)
def test_an_amount_in_a_form_is_the_one_that_is_saved_again(
    minor_units: int, currency: str, language: str, typed: str
) -> None:
    shown = format_amount_input(Money(amount=minor_units, currency=currency), load_translations(language))
    assert (shown, parse_amount(shown, currency)) == (typed, minor_units)


def price(**fields: object) -> Price:
    """A monthly price in euros."""
    known = {
        "price_id": "price_1",
        "version": 1,
        "code": "p",
        "product": "p",
        "model": "flat",
        "currency": "eur",
        "interval": "month",
        "unit_amount": None,
        "base_amount": 0,
        "tiers": [],
        "trial_days": None,
        "listed": True,
        "archived": False,
        "stripe_price_id": None,
    }
    return Price.model_validate(known | fields)


TIERS: list[dict[str, int | None]] = [
    {"up_to": 10, "unit_amount": 1000},
    {"up_to": 50, "unit_amount": 800},
    {"up_to": None, "unit_amount": 600},
]


@pytest.mark.parametrize(
    ("asked", "quantity", "told"),
    [
        (price(model="free", currency=None), None, "Free"),
        (price(unit_amount=4900), None, "€49.00 a month"),
        (price(unit_amount=4900, base_amount=100), None, "€50.00 a month"),
        (price(model="per_seat", unit_amount=1000), 1, "€10.00 per seat and month, one seat"),
        (price(model="volume", tiers=TIERS), None, "from €6.00 per seat and month"),
        (price(model="volume", tiers=TIERS), 10, "€10.00 per seat and month, 10 seats"),
        (price(model="volume", tiers=TIERS), 11, "€8.00 per seat and month, 11 seats"),
        (price(model="volume", tiers=TIERS), 1051, "€6.00 per seat and month, 1,051 seats"),
        (price(model="graduated", tiers=TIERS), 10, "€10.00 per seat and month, 10 seats"),
        (price(model="graduated", tiers=TIERS), 11, "from €8.00 per seat and month, 11 seats"),
        (
            price(model="graduated", tiers=TIERS, base_amount=12_000),
            3,
            "€10.00 per seat and month, 3 seats, plus €120.00 a month",
        ),
    ],
)
def test_a_price_is_told_for_the_seats_it_is_for(asked: Price, quantity: int | None, told: str) -> None:
    assert format_price(asked, load_translations("en"), quantity) == told


@pytest.mark.parametrize(
    ("asked", "quantity", "told"),
    [
        (
            price(unit_amount=9900, interval_count=3),
            None,
            ("€99.00 every 3 months", f"99,00{NBSP}€ alle 3 Monate"),
        ),
        (
            price(unit_amount=900, interval="week", interval_count=2),
            None,
            ("€9.00 every 2 weeks", f"9,00{NBSP}€ alle 2 Wochen"),
        ),
        (
            price(model="per_seat", unit_amount=2500, interval_count=6),
            5,
            ("€25.00 per seat every 6 months, 5 seats", f"25,00{NBSP}€ je Platz alle 6 Monate, 5 Plätze"),
        ),
        (
            price(model="volume", tiers=TIERS, base_amount=500, interval="year", interval_count=2),
            None,
            (
                "from €6.00 per seat every 2 years, plus €5.00 every 2 years",
                f"ab 6,00{NBSP}€ je Platz alle 2 Jahre, zuzüglich 5,00{NBSP}€ alle 2 Jahre",
            ),
        ),
    ],
)
def test_a_price_of_several_intervals_is_told_in_words(
    asked: Price, quantity: int | None, told: tuple[str, str]
) -> None:
    assert tuple(format_price(asked, language, quantity) for language in (EN, DE)) == told


@pytest.mark.parametrize(
    ("amount", "interval", "count", "quantity", "told"),
    [
        (7700, "month", 1, 1, ("€77.00 a month", f"77,00{NBSP}€ im Monat")),
        (700, "month", 3, 5, ("€35.00 every 3 months", f"35,00{NBSP}€ alle 3 Monate")),
        (19900, "year", 2, 1, ("€199.00 every 2 years", f"199,00{NBSP}€ alle 2 Jahre")),
        (None, "month", 1, 1, ("", "")),
    ],
)
def test_a_price_made_in_stripe_is_told_with_its_real_amount(
    amount: int | None, interval: Interval, count: int, quantity: int, told: tuple[str, str]
) -> None:
    price = subscriptions.CustomPrice(
        unit_amount=amount, currency="eur", interval=interval, interval_count=count
    )
    assert tuple(format_custom_price(price, quantity, language) for language in (EN, DE)) == told


def test_whatever_a_template_says_is_there() -> None:
    templates = "\n".join(path.read_text() for path in PAGES.glob("templates/**/*.html"))
    said = set(re.findall(r"""\bt\("([a-z_.]+)"[,)]""", templates))
    assert len(said) > 80
    assert {
        key for key in said if not any(known == key or known.startswith(f"{key}.") for known in EN.texts)
    } == set()


@pytest.mark.parametrize(
    ("translations", "amount", "currency", "shown"),
    [
        (EN, 4900, "eur", "€49.00"),
        (DE, 4900, "eur", f"49,00{NBSP}€"),
        (EN, 123456789, "usd", "$1,234,567.89"),
        (DE, 123456789, "usd", f"1.234.567,89{NBSP}$"),
        (EN, 500, "jpy", "¥500"),
        (DE, 500, "jpy", f"500{NBSP}¥"),
        (EN, 1500, "kwd", f"KWD{NBSP}1.500"),
        (DE, 1500, "kwd", f"1,500{NBSP}KWD"),
        (EN, -1500, "eur", "-€15.00"),
        (DE, 0, "eur", f"0,00{NBSP}€"),
    ],
)
def test_money_has_the_digits_of_its_currency(
    translations: Translations, amount: int, currency: str, shown: str
) -> None:
    assert translations.money(amount, currency) == shown


def test_dates_and_numbers_follow_the_language() -> None:
    moment = datetime(2026, 12, 6, 23, 30, tzinfo=UTC)
    assert (EN.date(moment), DE.date(moment)) == ("December 6, 2026", "6. Dezember 2026")
    assert (EN.number(3000), DE.number(3000)) == ("3,000", "3.000")
    assert EN.translate("team.available", count=1) == "One is free."
    assert DE.translate("team.available", count=0) == "0 sind frei."


def test_a_refusal_is_told_in_words_with_its_facts() -> None:
    refused = ProblemError("seats_in_use", "7 seats are in use.", {"occupied": 7, "members_reported": 3})
    assert error_message(refused, EN) == "7 seats are taken. Please take back some of them first."
    assert error_message(refused, DE) == "7 Plätze sind belegt. Bitte entziehen Sie zuerst einige."
    on_machines = ProblemError("seats_in_use", "No.", {"occupied": 1800, "members_reported": 1800})
    assert error_message(on_machines, EN).startswith("Machines with your license report 1,800 members.")
    assert error_message(on_machines, DE).startswith("Rechner mit Ihrer Lizenz melden 1.800 Mitglieder.")
    assert (
        error_message(ProblemError("brand_new", "The service's own words."), DE) == "The service's own words."
    )
    assert (
        error_message(ProblemError("brand_new"), EN)
        == "That was not possible. Please try again, or ask us for help."
    )
