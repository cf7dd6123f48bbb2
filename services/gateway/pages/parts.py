"""What a page route needs: whom to ask, the templates, and where browsers find the pages."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from services.gateway.asking import Billing
from services.gateway.pages.rendering import Templates
from services.gateway.parts import Parts


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


async def page_parts(request: Request) -> PageParts:
    """The running gateway's parts, as pages use them."""
    parts = cast(Parts, request.app.state.parts)
    settings = parts.settings
    return PageParts(
        parts.billing,
        request.app.state.templates,
        settings.gateway_public_url,
        settings.gateway_sign_in_url,
    )


Shown = Annotated[PageParts, Depends(page_parts)]
"""For a route that shows a page."""
