"""Rendering of mails: subject, text and HTML, from the Jinja templates beside this module."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from services.notifications.domain.kinds import KINDS
from services.notifications.mail.values import format_values
from tallystick.messages.notifications import Kind, Language

_HERE = Path(__file__).parent
PARTS = ("headline", "lead", "button", "note")
LIGHT_LUMINANCE = 0.45
"""Relative luminance from which dark text is easier to read on a colour than white text."""


class RenderedMail(NamedTuple):
    """The contents of a mail."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class Brand:
    """The looks of this installation's mails."""

    name: str
    color: str
    logo: str | None = None

    @property
    def text_color(self) -> str:
        """Return the colour of text on the brand's colour."""
        red, green, blue = (int(self.color[at : at + 2], 16) / 255 for at in (1, 3, 5))
        luminance = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2
        return "#1b2430" if luminance > LIGHT_LUMINANCE else "#ffffff"


@dataclass(frozen=True, slots=True)
class MailLinks:
    """The addresses in a mail; all are made by this service or by Stripe, none by a customer."""

    button: str | None = None
    preferences: str | None = None
    unsubscribe: str | None = None


@dataclass(frozen=True, slots=True)
class Renderer:
    """Renders mails in the looks of a brand."""

    brand: Brand
    _html: Environment = field(default_factory=lambda: _environment(is_html=True))
    _text: Environment = field(default_factory=lambda: _environment(is_html=False))

    def render(
        self, kind: Kind, language: Language, facts: Mapping[str, Any], links: MailLinks
    ) -> RenderedMail:
        """Render the mail of a kind."""
        values = format_values(facts, language) | {"brand": self.brand.name}
        subject = self._sentence(self._text, language, f"kinds.{kind}.subject", values)
        text = self._body(self._text, "mail.txt", kind, language, values, links)
        html = self._body(self._html, "mail.html", kind, language, values, links, subject=subject)
        return RenderedMail(subject, text.strip() + "\n", html)

    def _body(
        self,
        environment: Environment,
        template: str,
        kind: Kind,
        language: Language,
        values: Mapping[str, Any],
        links: MailLinks,
        **more: Any,
    ) -> str:
        texts = _texts(language)
        parts: dict[str, str | None] = {
            part: self._sentence(environment, language, f"kinds.{kind}.{part}", values)
            if part in texts["kinds"][kind]
            else None
            for part in PARTS
        }
        spec = KINDS[kind]
        details = [(texts["labels"][name], values[name]) for name in spec.details if values[name]]
        return environment.get_template(template).render(
            **parts,
            **more,
            language=language,
            brand=self.brand.name,
            brand_color=self.brand.color,
            brand_logo=self.brand.logo,
            button_text_color=self.brand.text_color,
            details=details,
            button_url=links.button,
            preferences_url=links.preferences,
            unsubscribe_url=links.unsubscribe,
            why=self._sentence(environment, language, f"common.why_{spec.audience}", values),
            common=texts["common"],
        )

    def _sentence(
        self, environment: Environment, language: Language, path: str, values: Mapping[str, Any]
    ) -> str:
        rendered = _compiled(environment, language, path).render(values)
        # What is inserted is escaped already; the texts themselves are ours.
        return Markup(rendered) if environment.autoescape else rendered  # noqa: S704


def _environment(*, is_html: bool) -> Environment:
    return Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=is_html,  # noqa: S701 - text mails are not HTML
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _compiled(environment: Environment, language: str, path: str) -> Template:
    text: Any = _texts(language)
    for key in path.split("."):
        text = text[key]
    return environment.from_string(text)


@cache
def _texts(language: str) -> Any:
    return yaml.safe_load((_HERE / "translations" / f"{language}.yaml").read_text(encoding="utf-8"))
