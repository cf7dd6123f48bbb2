"""Texts of the pages in each language: messages, amounts, numbers and dates."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.gateway.pages.error_messages import in_words
from services.gateway.pages.i18n import LANGUAGES, Words, words_of
from services.gateway.problem_details import ProblemError
from tallystick.messages.base import COMMANDS

PAGES = Path("services/gateway/pages")
EN, DE = words_of("en"), words_of("de")
NBSP = "\xa0"


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_every_language_has_the_same_messages_and_placeholders(language: str) -> None:
    other = words_of(language)
    assert set(other.texts) == set(EN.texts)
    for key, text in EN.texts.items():
        assert set(re.findall(r"{(\w+)}", other.texts[key])) == set(re.findall(r"{(\w+)}", text)), key


def test_whatever_a_template_says_is_there() -> None:
    templates = "\n".join(path.read_text() for path in PAGES.glob("templates/**/*.html"))
    said = set(re.findall(r"""say\("([a-z_.]+)"[,)]""", templates))
    assert len(said) > 80
    assert {
        key for key in said if not any(known == key or known.startswith(f"{key}.") for known in EN.texts)
    } == set()


def test_whatever_may_be_refused_on_a_page_has_a_sentence() -> None:
    shown = (
        {
            ("subscriptions", name)
            for name in (
                "start_checkout",
                "change_plan",
                "cancel_scheduled_change",
                "cancel_subscription",
                "reactivate_subscription",
                "open_portal",
                "purchase_add_on",
                "cancel_add_on",
            )
        }
        | {
            ("seats", name)
            for name in (
                "assign_seat",
                "assign_seats",
                "claim_seat",
                "resend_invitation",
                "revoke_seat",
                "replace_seat",
                "change_seat_count",
            )
        }
        | {("consumables", "set_auto_recharge")}
    )
    codes = {code for command in shown for code in COMMANDS[command].rejections}
    assert {code for code in codes if not EN.knows(f"error.{code}")} == set()


@pytest.mark.parametrize(
    ("words", "amount", "currency", "shown"),
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
def test_money_has_the_digits_of_its_currency(words: Words, amount: int, currency: str, shown: str) -> None:
    assert words.money(amount, currency) == shown


def test_dates_and_numbers_follow_the_language() -> None:
    moment = datetime(2026, 12, 6, 23, 30, tzinfo=UTC)
    assert (EN.date(moment), DE.date(moment)) == ("December 6, 2026", "6. Dezember 2026")
    assert (EN.number(3000), DE.number(3000)) == ("3,000", "3.000")
    assert EN.say("team.available", count=1) == "One is free."
    assert DE.say("team.available", count=0) == "0 sind frei."


def test_a_refusal_is_told_in_words_with_its_facts() -> None:
    refused = ProblemError("seats_in_use", "7 seats are in use.", {"occupied": 7})
    assert in_words(refused, EN) == "7 seats are taken. Please take back some of them first."
    assert in_words(refused, DE) == "7 Plätze sind belegt. Bitte entziehen Sie zuerst einige."
    assert in_words(ProblemError("brand_new", "The service's own words."), DE) == "The service's own words."
    assert (
        in_words(ProblemError("brand_new"), EN)
        == "That was not possible. Please try again, or ask us for help."
    )
