"""Renders templates into responses."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from services.gateway.auth.principal import ADMIN, Caller
from services.gateway.auth.sessions import CSRF_FIELD
from services.gateway.pages.i18n import LANGUAGES, Translations, load_translations, translations_for_request
from shared.ids import new_id
from tallystick.messages.base import EVENTS

_HERE = Path(__file__).parent
STATIC = _HERE / "static"
STATIC_URL = "/static"
COMMAND_FIELD = "command_id"
"""The form field with the key of the form's command, so that a form sent twice is carried out once."""

FEED_EVENTS = " ".join(
    f"{entity}.{name}V{version}" for (entity, version), event in EVENTS.items() for name in event.names
)
"""The event types of the feed that browsers listen to."""


def _fingerprint() -> str:
    content = b"".join(path.read_bytes() for path in sorted(STATIC.iterdir()) if path.is_file())
    return hashlib.sha256(content).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Templates:
    """The pages' templates, compiled once."""

    environment: Environment
    application_name: str

    @classmethod
    def of(cls, application_name: str) -> "Templates":
        """Load the templates beside this module."""
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

    def render(
        self,
        request: Request,
        template: str,
        *,
        caller: Caller | None,
        status: int = 200,
        page_url: str | None = None,
        **values: Any,
    ) -> Response:
        """Render a whole page in the language of the browser.

        `page_url` is the URL that the choice of language and the live updates load again: by default that of
        the request. A response to a form must name its page.
        """
        page_url = page_url or _path_and_query(request)
        translations = page_translations(request, caller)
        content = self.environment.get_template(template).render(
            application_name=self.application_name,
            translations=translations,
            t=translations.translate,
            caller=caller,
            csrf_token=caller.csrf if caller else None,
            page_url=page_url,
            page_path=page_url.partition("?")[0],
            is_admin_page=is_admin_page(request, caller),
            **values,
        )
        headers = {"Content-Language": translations.language, "Vary": "Accept-Language, Cookie"}
        return HTMLResponse(content, status, headers)


def is_admin_page(request: Request, caller: Caller | None) -> bool:
    """Return whether an operator requests one of the operators' pages."""
    return caller is not None and caller.may(ADMIN) and request.url.path.startswith("/admin")


def page_translations(request: Request, caller: Caller | None) -> Translations:
    """Return the translations of a page; the operators' pages are only in English."""
    if is_admin_page(request, caller):
        return load_translations(LANGUAGES[0])
    return translations_for_request(request)


def _path_and_query(request: Request) -> str:
    query = request.url.query
    return f"{request.url.path}?{query}" if query else request.url.path
