"""`/notifications/{token}`: the preferences page that mails link to, without a sign-in.

The token names one recipient, and opens their preferences and nothing else. Looking at a page changes
nothing, because programs that check mails open every link.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Request
from starlette.responses import RedirectResponse, Response

from services.gateway.pages.dependencies import PageContext, PageContextDep
from services.gateway.pages.forms import SEE_OTHER
from services.gateway.pages.i18n import LANGUAGES
from services.gateway.pages.page_route import PageRoute
from services.gateway.problem_details import ProblemError
from shared.ids import new_id
from tallystick.messages import notifications as m

router = APIRouter(prefix="/notifications", include_in_schema=False, route_class=PageRoute)

Token = Annotated[str, Path(max_length=500)]
KINDS_MAX = 40


@router.get("/{token}")
async def preferences_page(request: Request, page: PageContextDep, token: Token, done: str = "") -> Response:
    """Show which mails the recipient gets."""
    found = await _find(page, token)
    return page.templates.render(
        request,
        "mail_preferences.html",
        caller=None,
        preferences=found.preferences,
        token=token,
        is_saved=done == "saved",
    )


@router.post("/{token}")
async def save_preferences(
    page: PageContextDep,
    token: Token,
    kinds: Annotated[list[str], Form(max_length=KINDS_MAX)] = [],  # noqa: B006 - pydantic copies it
    language: Annotated[str, Form(max_length=10)] = "",
) -> Response:
    """Save which mails the recipient wants."""
    preferences = (await _find(page, token)).preferences
    wanted = {kind: kind in kinds for kind in preferences.kinds}
    await _set(page, token, kinds=wanted, language=language if language in LANGUAGES else None)
    return RedirectResponse(f"/notifications/{token}?done=saved", SEE_OTHER)


@router.get("/{token}/unsubscribe")
async def unsubscribe_page(request: Request, page: PageContextDep, token: Token) -> Response:
    """Ask whether the recipient wants no more mails of the kind that the link is from."""
    found = await _find(page, token)
    return page.templates.render(
        request, "mail_unsubscribe.html", caller=None, kind=found.kind, token=token, is_done=False
    )


@router.post("/{token}/unsubscribe")
async def unsubscribe(request: Request, page: PageContextDep, token: Token) -> Response:
    """Switch off the kind that the link is from; also for mail clients' one click (RFC 8058)."""
    found = await _find(page, token)
    if found.kind is None or found.kind not in found.preferences.kinds:
        raise ProblemError("kind_mandatory")
    await _set(page, token, kinds={found.kind: False})
    return page.templates.render(
        request, "mail_unsubscribe.html", caller=None, kind=found.kind, token=token, is_done=True
    )


async def _find(page: PageContext, token: str) -> m.PreferencesFound:
    return await page.services.request(m.GetPreferences(link=token))


async def _set(page: PageContext, token: str, **values: Any) -> None:
    command = m.SetPreferences(
        command_id=new_id("mail"), requested_by="a link in a mail", link=token, **values
    )
    await page.services.request(command)
