"""Hosted checkout page, at the session's `url`.

A browser sees a form; a script posts the same fields to the same address: `card_number` (one of Stripe's test
numbers; also `email`, `promotion_code`), `decline` or `cancel`, or, if the card requires authentication,
`confirm` or `fail`. Responses: 303 to `success_url` or `cancel_url`; 402 with the page if the card is
declined; 200 for the next step.
"""

from __future__ import annotations

from html import escape

from sandbox.stripe import (
    authentication,
    cards,
    checkout_items,
    checkout_taxes,
    pages,
    payment_links,
    payments,
)
from sandbox.stripe.account import Account, Json
from sandbox.stripe.billing import pricing, taxes
from sandbox.stripe.checkout_payment import complete
from sandbox.stripe.checkout_sessions import apply_code
from sandbox.stripe.faults import StripeFault
from sandbox.stripe.routing import Page, Route

_TITLES = {"subscription": "Subscribe", "payment": "Pay", "setup": "Save your card"}
_BUTTONS = {"subscription": "Subscribe", "payment": "Pay", "setup": "Save card"}


def show(account: Account, params: Json, ids: dict[str, str]) -> Page:
    """`GET /c/pay/{id}`."""
    session = account.get("checkout.session", ids["id"])
    if session["status"] != "open":
        return _closed(session)
    if session["_awaiting"]:
        return pages.page("Authentication", authentication.step())
    return _form(account, session)


def submit(account: Account, params: Json, ids: dict[str, str]) -> Page:
    """`POST /c/pay/{id}`."""
    session = account.get("checkout.session", ids["id"])
    if session["status"] != "open":
        return _closed(session)
    if not payment_links.may_complete(account, session):
        return payment_links.closed(account.get("payment_link", session["payment_link"]))
    if params.get("cancel"):
        return pages.redirect(session["cancel_url"]) if session["cancel_url"] else _form(account, session)
    if params.get("decline"):
        return _form(account, session, cards.MESSAGES["generic_decline"], 402)
    try:
        if session["_awaiting"] and (params.get("confirm") or params.get("fail")):
            return _authenticated(account, session, successful=bool(params.get("confirm")))
        checkout_taxes.take_over(session, params)
        checkout_items.total(account, session)
        if params.get("promotion_code") and session["allow_promotion_codes"]:
            apply_code(account, session, params["promotion_code"])
        if params.get("apply"):
            return _form(account, session)
        return _pay(account, session, params)
    except StripeFault as fault:
        if fault.status != 402 and fault.param != "promotion_code":
            raise
        return _form(account, session, fault.message, 402 if fault.status == 402 else 400)


def _pay(account: Account, session: Json, params: Json) -> Page:
    """Handle a posted card."""
    email = params.get("email")
    who = checkout_taxes.payer(account, session)
    if checkout_taxes.collects_address(session) and taxes.location(who) is None:
        return _form(account, session, "Your country is required.", 400)
    if not params.get("card_number"):
        if _needs_card(session):
            return _form(account, session, "Your card number is incomplete.", 402)
        complete(account, session, None, email=email)
        return _success(session)
    card = cards.card_of(params["card_number"])
    if card.attach_decline is not None:
        raise cards.decline(card.attach_decline)
    if card.authenticate != "never":
        session["_awaiting"] = {"number": card.number, "email": email}
        return pages.page("Authentication", authentication.step())
    return _finish(account, session, card, email, authenticated=False)


def _authenticated(account: Account, session: Json, *, successful: bool) -> Page:
    """Handle the result of the authentication."""
    awaiting, session["_awaiting"] = session["_awaiting"], None
    if not successful:
        return _form(account, session, payments.AUTHENTICATION_FAILED, 402)
    return _finish(account, session, cards.card_of(awaiting["number"]), awaiting["email"], authenticated=True)


def _finish(
    account: Account, session: Json, card: cards.TestCard, email: str | None, *, authenticated: bool
) -> Page:
    if card.charge_decline is not None and (session["amount_total"] or 0) > 0:
        raise cards.decline(card.charge_decline)
    complete(account, session, card, email=email, authenticated=authenticated)
    return _success(session)


def _success(session: Json) -> Page:
    return pages.redirect(session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"]))


def _closed(session: Json) -> Page:
    if session["status"] == "complete":
        return _success(session)
    return pages.page("This page has expired", "<p>Go back to where you came from and start again.</p>", 410)


def _needs_card(session: Json) -> bool:
    nothing_due = (session["amount_total"] or 0) == 0
    return session["mode"] == "setup" or session["payment_method_collection"] == "always" or not nothing_due


# -- HTML -------------------------------------------------------------------------------------------------


def _form(account: Account, session: Json, error: str | None = None, status: int = 200) -> Page:
    email = ""
    if session["customer"] is None:
        known = escape(session["customer_email"] or "")
        email = (
            f'<label for="email">Email</label><input id="email" name="email" type="email" value="{known}">'
        )
    code = ""
    if session["allow_promotion_codes"] and not session["discounts"]:
        code = (
            '<label for="promotion_code">Promotion code</label>'
            '<input id="promotion_code" name="promotion_code">'
            + pages.button("Apply", "apply", skip_checks=True)
        )
    needed = " required" if _needs_card(session) else ""
    card = (
        f'<label for="card_number">Card number</label><input id="card_number" name="card_number"{needed}'
        ' inputmode="numeric" autocomplete="off" placeholder="4242 4242 4242 4242" aria-describedby="hint">'
        '<p class="dim" id="hint">No money moves: use one of Stripe\'s test card numbers.</p>'
    )
    cancel = pages.button("Cancel", "cancel", skip_checks=True) if session["cancel_url"] else ""
    body = (
        f'{_summary(account, session)}{pages.alert(error)}<form method="post">'
        f"{email}{_details(account, session)}{code}{card}"
        f"{pages.button(_BUTTONS[session['mode']], 'pay', main=True)}"
        f"{pages.button('Decline the card', 'decline', skip_checks=True)}{cancel}</form>"
    )
    return pages.page(_TITLES[session["mode"]], body, status)


def _details(account: Account, session: Json) -> str:
    """Return the fields for the country, and for the name and VAT id of a business."""
    fields = ""
    if checkout_taxes.collects_address(session):
        country = taxes.location(checkout_taxes.payer(account, session)) or ""
        fields += _field("country", "Country (two letters)", country)
    if checkout_taxes.collects_tax_id(session):
        fields += _field("name", "Business name (optional)", session["_typed"].get("name", ""))
        fields += _field("tax_id", "VAT id (optional)", session["_typed"].get("tax_id", ""))
    return fields + pages.button("Update", "apply", skip_checks=True) if fields else ""


def _field(name: str, label: str, value: str) -> str:
    return f'<label for="{name}">{label}</label><input id="{name}" name="{name}" value="{escape(value)}">'


def _summary(account: Account, session: Json) -> str:
    """Return the items and the amount due today as HTML."""
    items: list[Json] = session["_line_items"]
    if not items:
        return ""
    currency = session["currency"]
    rows = "".join(
        f'<tr><th scope="row">{escape(item["description"] or "")}{_quantity(item)}'
        f'<br><span class="dim">{escape(_terms(item))}</span></th>'
        f"<td>{pages.money(item['amount_subtotal'], currency)}</td></tr>"
        for item in items
    )
    off = session["total_details"]["amount_discount"]
    discount = f'<tr><th scope="row">Discount</th><td>-{pages.money(off, currency)}</td></tr>' if off else ""
    days = session["_subscription_data"].get("trial_period_days")
    trial = f"<p>Free for {days} days. You can cancel before they end.</p>" if days else ""
    return (
        f"<table><caption>Your order</caption><tbody>{rows}{discount}{_taxes(session)}</tbody><tfoot><tr>"
        f'<th scope="row">Total due today</th><td>{pages.money(session["amount_total"], currency)}</td>'
        f"</tr></tfoot></table>{trial}"
    )


def _taxes(session: Json) -> str:
    """Return the taxes by rate as rows, reverse charge included."""
    found: dict[str, int] = {}
    for tax in (tax for item in session["_line_items"] for tax in item["_taxes"]):
        name = pages.tax_name(tax["rate"], tax["taxability_reason"])
        found[name] = found.get(name, 0) + tax["amount"]
    return "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{pages.money(amount, session["currency"])}</td></tr>'
        for name, amount in found.items()
        if name
    )


def _quantity(item: Json) -> str:
    return f" &times; {item['quantity']}" if (item["quantity"] or 1) != 1 else ""


def _terms(item: Json) -> str:
    """Describe the recurring amount of a line: `€100.00 every month`."""
    price = item["price"]
    if pricing.is_metered(price):
        return "billed by use"
    if price["type"] == "one_time":
        return "once"
    count, unit = price["recurring"]["interval_count"], price["recurring"]["interval"]
    rhythm = f"every {unit}" if count == 1 else f"every {count} {unit}s"
    return f"{pages.money(checkout_items.full_amount(item), item['currency'])} {rhythm}"


ROUTES = [
    Route("GET", "/c/pay/{id}", show, kind="page"),
    Route("POST", "/c/pay/{id}", submit, kind="page"),
]
