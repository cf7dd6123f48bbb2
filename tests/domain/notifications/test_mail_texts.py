"""The mails of every kind in every language: complete, escaped, and with what matters."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from services.notifications.domain.kinds import KINDS, OPTIONAL_KINDS, sample_facts
from services.notifications.mail import renderer
from services.notifications.mail.renderer import Brand, MailLinks, Renderer
from services.notifications.mail.values import NAMES
from tallystick.messages.notifications import MANDATORY_KINDS, Kind, Language

LANGUAGES = get_args(Language)
FOLDER = Path(renderer.__file__).parent / "translations"
ALWAYS_KNOWN = frozenset(
    {"customer", "feature", "quantity", "remaining", "percent", "title", "description", "severity", "expires"}
)
"""Facts that every notification has whose texts use them without an alternative."""
PREFERENCES_URL = "https://b.example/preferences"
LINKS = MailLinks("https://b.example/button", PREFERENCES_URL, "https://b.example/stop")
RENDERER = Renderer(Brand("Tallystick", "#1f5fbf"))


def texts(language: str) -> dict[str, Any]:
    """The texts of a language."""
    found: dict[str, Any] = yaml.safe_load((FOLDER / f"{language}.yaml").read_text())
    return found


def paths(content: Any, before: str = "") -> set[str]:
    """The places of all texts."""
    if not isinstance(content, dict):
        return {before}
    return {path for key, value in content.items() for path in paths(value, f"{before}.{key}")}


def test_both_languages_have_the_same_texts() -> None:
    assert paths(texts("en")) == paths(texts("de"))


def test_every_kind_has_a_mail_and_is_mandatory_or_not() -> None:
    assert set(KINDS) == set(get_args(Kind)) == set(texts("en")["kinds"])
    assert set(OPTIONAL_KINDS) | MANDATORY_KINDS | {"alarm"} == set(KINDS)
    assert not set(OPTIONAL_KINDS) & MANDATORY_KINDS


def test_texts_use_values_that_exist() -> None:
    known = {*NAMES, "brand", "if", "elif", "else", "endif", "or"}
    for language in LANGUAGES:
        for expression in re.findall(r"\{[{%](.*?)[%}]\}", (FOLDER / f"{language}.yaml").read_text()):
            used = set(re.findall(r"[a-z_]+", re.sub(r"'[^']*'", "", expression)))
            assert used <= known, (language, expression)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_mail_shows_its_facts_and_one_button(kind: Kind, language: Language) -> None:
    mail = RENDERER.render(kind, language, sample_facts(kind), LINKS)
    assert mail.subject
    assert "\n" not in mail.subject
    for name in KINDS[kind].details:
        label = texts(language)["labels"][name]
        assert f"{label}: " in mail.text, name
        assert label in mail.html
    for content in (mail.text, mail.html):
        assert "None" not in content
        assert PREFERENCES_URL in content
        assert "{{" not in content
    if "button" in texts(language)["kinds"][kind]:
        assert mail.html.count('href="https://b.example/button"') == 2  # the button, and the address below it


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_mail_without_optional_facts_is_still_a_sentence(kind: Kind) -> None:
    facts = {name: fact for name, fact in sample_facts(kind).items() if name in ALWAYS_KNOWN}
    mail = RENDERER.render(kind, "en", facts, LINKS)
    assert "  " not in mail.subject
    assert "None" not in mail.subject + mail.text + mail.html


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_fact_is_escaped(kind: Kind) -> None:
    facts = sample_facts(kind)
    facts = {
        name: "<i>&\"'" if isinstance(fact, str) and name in TEXTS else fact for name, fact in facts.items()
    }
    mail = RENDERER.render(kind, "en", facts, LINKS)
    assert "<i>" not in mail.html


TEXTS = (
    "customer",
    "plan",
    "role",
    "holder",
    "feature",
    "number",
    "key_hint",
    "reason",
    "title",
    "description",
)


def test_money_and_dates_are_written_as_the_language_does() -> None:
    english = RENDERER.render("invoice_paid", "en", sample_facts("invoice_paid"), LINKS)
    german = RENDERER.render("invoice_paid", "de", sample_facts("invoice_paid"), LINKS)
    assert "€588.00" in english.text
    assert "588,00\xa0€" in german.text
    yen = {"customer": "Acme", "amount": {"amount": 5000, "currency": "jpy"}}
    assert "¥5,000" in RENDERER.render("invoice_paid", "en", yen, LINKS).text


def test_the_brand_is_everywhere_and_its_button_is_readable() -> None:
    light = Renderer(Brand("Yellow & Co", "#ffdd00", "https://cdn.example/logo.png"))
    mail = light.render("invitation", "en", sample_facts("invitation"), LINKS)
    assert "Yellow &amp; Co" in mail.html
    assert "https://cdn.example/logo.png" in mail.html
    assert "color:#1b2430" in mail.html
