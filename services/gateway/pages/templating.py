"""From a template and what it shows to a response."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from services.gateway.auth.principal import ADMIN, Caller
from services.gateway.auth.sessions import CSRF_FIELD
from services.gateway.pages.i18n import LANGUAGES, Words, words_for, words_of
from shared.ids import new_id
from tallystick.messages.base import EVENTS

_HERE = Path(__file__).parent
STATIC = _HERE / "static"
STATIC_URL = "/static"
COMMAND_FIELD = "command_id"
"""Every form brings along the id of its command: sent twice, it is carried out once."""

FEED_EVENTS = " ".join(
    f"{entity}.{name}V{version}" for (entity, version), event in EVENTS.items() for name in event.names
)
"""The events of the feed by the names under which browsers hear them."""


def _fingerprint() -> str:
    content = b"".join(path.read_bytes() for path in sorted(STATIC.iterdir()) if path.is_file())
    return hashlib.sha256(content).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Templates:
    """The templates, compiled once."""

    environment: Environment
    application_name: str

    @classmethod
    def of(cls, application_name: str) -> "Templates":
        """Those beside this module."""
        environment = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals |= {
            "feed_events": FEED_EVENTS,
            "static": f"{STATIC_URL}/{_fingerprint()}",
            "languages": LANGUAGES,
            "csrf_field": CSRF_FIELD,
            "command_field": COMMAND_FIELD,
            "new_command_id": lambda: new_id("page"),
        }
        return cls(environment, application_name)

    def page(
        self,
        request: Request,
        template: str,
        *,
        caller: Caller | None,
        status: int = 200,
        here: str | None = None,
        **shown: Any,
    ) -> Response:
        """A whole page in the language that the browser asks for.

        `here` is where the page is found again, by a change of the language and by the live updates; of what
        answers a form it must be given.
        """
        here = here or _address(request)
        operating = is_operating(request, caller)
        words = page_words(request, caller)
        content = self.environment.get_template(template).render(
            application_name=self.application_name,
            words=words,
            say=words.say,
            caller=caller,
            csrf_token=caller.csrf if caller else None,
            here=here,
            place=here.partition("?")[0],
            operating=operating,
            **shown,
        )
        headers = {"Content-Language": words.language, "Vary": "Accept-Language, Cookie"}
        return HTMLResponse(content, status, headers)


def is_operating(request: Request, caller: Caller | None) -> bool:
    """Whether an operator is on their own pages."""
    return caller is not None and caller.may(ADMIN) and request.url.path.startswith("/admin")


def page_words(request: Request, caller: Caller | None) -> Words:
    """The words of a page; operators' pages are in English alone."""
    return words_of(LANGUAGES[0]) if is_operating(request, caller) else words_for(request)


def _address(request: Request) -> str:
    query = request.url.query
    return f"{request.url.path}?{query}" if query else request.url.path
