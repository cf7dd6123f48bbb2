"""The FastAPI dependency that gives page routes the services, the templates and the pages' URLs."""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Request

from services.gateway.dependencies import state_of
from services.gateway.pages.templating import Templates
from services.gateway.service_client import ServiceClient


@dataclass(frozen=True, slots=True)
class PageContext:
    """The part of the gateway's state that pages use."""

    services: ServiceClient
    templates: Templates
    public_url: str
    sign_in_page: str | None

    def url(self, path: str) -> str:
        """Return the absolute URL of a page."""
        return f"{self.public_url}{path}"

    def sign_in_url(self, path: str) -> str | None:
        """Return the host application's sign-in URL that leads back to a page; None if not configured."""
        if self.sign_in_page is None:
            return None
        separator = "&" if "?" in self.sign_in_page else "?"
        return f"{self.sign_in_page}{separator}return_to={quote(self.url(path), safe='')}"


def page_context(request: Request) -> PageContext:
    """Return the page context of the application that serves a request."""
    state = state_of(request)
    settings = state.settings
    return PageContext(
        state.services,
        request.app.state.templates,
        settings.gateway_public_url,
        settings.gateway_sign_in_url,
    )


async def _get_page_context(request: Request) -> PageContext:
    return page_context(request)  # FastAPI would run a dependency that is not async in a thread


PageContextDep = Annotated[PageContext, Depends(_get_page_context)]
"""For routes that render pages."""
