"""The redirect that opens a benefit, for the API and the pages."""

from starlette.responses import RedirectResponse

from tallystick.messages.subscriptions import OpenedBenefit

TEMPORARY_REDIRECT = 307


def redirect_to(opened: OpenedBenefit) -> RedirectResponse:
    """Redirect to the address, which nobody may store: it holds a token."""
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return RedirectResponse(opened.url, TEMPORARY_REDIRECT, headers=headers)
