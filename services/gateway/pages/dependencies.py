"""What a page route needs: whom to ask, the templates, and where browsers find the pages."""

from dataclasses import dataclass
from typing import Annotated, cast
from urllib.parse import quote

from fastapi import Depends, Request

from services.gateway.dependencies import Parts
from services.gateway.pages.templating import Templates
from services.gateway.service_client import Billing


@dataclass(frozen=True, slots=True)
class PageParts:
    """The parts of the gateway that pages use."""

    billing: Billing
    templates: Templates
    public_url: str
    sign_in_url: str | None

    def url(self, path: str) -> str:
        """The whole address of a page, for others to lead back to."""
        return f"{self.public_url}{path}"

    def sign_in(self, path: str) -> str | None:
        """Where the host application signs people in, and sends them back to a page; None where unknown."""
        if self.sign_in_url is None:
            return None
        joint = "&" if "?" in self.sign_in_url else "?"
        return f"{self.sign_in_url}{joint}return_to={quote(self.url(path), safe='')}"


def parts_of_pages(request: Request) -> PageParts:
    """The running gateway's parts, as pages use them."""
    parts = cast(Parts, request.app.state.parts)
    settings = parts.settings
    return PageParts(
        parts.billing,
        request.app.state.templates,
        settings.gateway_public_url,
        settings.gateway_sign_in_url,
    )


async def _parts_of_pages(request: Request) -> PageParts:
    return parts_of_pages(request)  # a dependency that is not async would wait for a thread


Shown = Annotated[PageParts, Depends(_parts_of_pages)]
"""For a route that shows a page."""
