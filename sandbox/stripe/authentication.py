"""Page on which a customer authenticates a payment or a card (3D Secure).

A script posts `confirm=1` or `fail=1` to it.
"""

from __future__ import annotations

from urllib.parse import urlencode

from sandbox.stripe import pages, payments, setup_intents
from sandbox.stripe.account import Account, Json
from sandbox.stripe.faults import missing_object
from sandbox.stripe.routing import Page, Route


def step(error: str | None = None) -> str:
    """Return the form, which checkout shows too."""
    return (
        f"{pages.alert(error)}<p>Your bank wants to know that it is you.</p>\n"
        f'<form method="post">{pages.button("Complete authentication", "confirm", main=True)}'
        f"{pages.button('Fail authentication', 'fail')}</form>"
    )


def show(account: Account, params: Json, ids: dict[str, str]) -> Page:
    """`GET /authenticate/{id}`."""
    intent = _intent(account, ids["id"])
    if intent["status"] != "requires_action":
        return pages.page("Nothing to authenticate", f"<p>The status is {intent['status']}.</p>")
    return pages.page("Authentication", step())


def answer(account: Account, params: Json, ids: dict[str, str]) -> Page:
    """`POST /authenticate/{id}`."""
    intent = _intent(account, ids["id"])
    if intent["status"] != "requires_action":
        return show(account, params, ids)
    successful = bool(params.get("confirm"))
    module = payments if intent["object"] == "payment_intent" else setup_intents
    module.authenticated(account, intent, successful=successful)
    return_url = intent.get("_return_url")
    if not return_url:
        return pages.page("Done", f"<p>The status is {intent['status']}.</p>")
    query = urlencode(
        {
            intent["object"]: intent["id"],
            f"{intent['object']}_client_secret": intent["client_secret"],
            "redirect_status": "succeeded" if successful else "failed",
        }
    )
    return pages.redirect(f"{return_url}{'&' if '?' in return_url else '?'}{query}")


def _intent(account: Account, intent_id: str) -> Json:
    found = account.by_id(intent_id)
    if found is None or found["object"] not in ("payment_intent", "setup_intent"):
        raise missing_object("payment_intent", intent_id)
    return account.get(found["object"], intent_id)


ROUTES = [
    Route("GET", "/authenticate/{id}", show, kind="page"),
    Route("POST", "/authenticate/{id}", answer, kind="page"),
]
