"""Billing portal page: plans, card, billing details and invoices.

A script posts to the same address: `card_number` (a new default card), `country` and `tax_id` (the billing
details), `cancel_subscription=<id>` (at the period's end) or `keep_subscription=<id>` (undoes it). The
response is 303 to the page, or the page again: with 402 if the card is declined, with 400 for a VAT id that
is none.
"""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

from sandbox.stripe import cards, customers, pages, payment_methods, subscriptions, tax_ids
from sandbox.stripe.account import Account, Json
from sandbox.stripe.faults import StripeFault, missing_object
from sandbox.stripe.routing import Page, Route

KIND = "billing_portal.session"
LONGEST_SECONDS = 3600
"""Sessions expire an hour after creation; at Stripe, an hour after the last use."""
MAX_INVOICES = 12


def show(account: Account, params: Json, ids: dict[str, str]) -> Page:
    """`GET /p/session/{id}`."""
    session = account.get(KIND, ids["id"])
    customer = account.refer("customer", session["customer"], "customer")
    if account.now(customer) > session["created"] + LONGEST_SECONDS:
        return pages.page("This page has expired", _back(session), 410)
    return _page(account, session, customer)


def submit(account: Account, params: Json, ids: dict[str, str]) -> Page:
    """`POST /p/session/{id}`."""
    session = account.get(KIND, ids["id"])
    customer = account.refer("customer", session["customer"], "customer")
    if account.now(customer) > session["created"] + LONGEST_SECONDS:
        return pages.page("This page has expired", _back(session), 410)
    for name, at_period_end in (("cancel_subscription", True), ("keep_subscription", False)):
        if params.get(name):
            subscription = account.get("subscription", params[name])
            if subscription["customer"] != customer["id"]:
                raise missing_object("subscription", params[name])
            subscriptions.update(account, {"cancel_at_period_end": at_period_end}, {"id": params[name]})
            return pages.redirect(session["url"])
    if params.get("country") or params.get("tax_id"):
        return _change_details(account, session, customer, params)
    try:
        _change_card(account, customer, params.get("card_number") or "")
    except StripeFault as fault:
        if fault.status != 402:
            raise
        return _page(account, session, customer, fault.message, 402)
    return pages.redirect(session["url"])


def _change_details(account: Account, session: Json, customer: Json, params: Json) -> Page:
    """Save the country and the VAT id, which decide the taxes of later invoices."""
    try:
        if params.get("tax_id"):
            tax_ids.add(account, customer, "eu_vat", str(params["tax_id"]).strip())
    except StripeFault as fault:
        return _page(account, session, customer, fault.message, 400)
    if params.get("country"):
        country = str(params["country"]).strip().upper()
        address = {**dict.fromkeys(customers.ADDRESS), **(customer["address"] or {}), "country": country}
        account.change(customer, "customer.updated", address=address)
    return pages.redirect(session["url"])


def _change_card(account: Account, customer: Json, number: str) -> None:
    """Save a card, already authenticated, and make it the default for all payments."""
    card = cards.card_of(number)
    if card.attach_decline is not None:
        raise cards.decline(card.attach_decline)
    method = payment_methods.new_method(account, card)
    method["_authenticated"] = True
    payment_methods.attach_to(account, method["id"], customer)
    settings = {**customer["invoice_settings"], "default_payment_method": method["id"]}
    account.change(customer, "customer.updated", invoice_settings=settings)
    for subscription in _open_subscriptions(account, customer):
        if subscription["default_payment_method"]:
            subscriptions.update(
                account, {"default_payment_method": method["id"]}, {"id": subscription["id"]}
            )


def _open_subscriptions(account: Account, customer: Json) -> list[Json]:
    found = account.find("subscription", customer=customer["id"])
    return [each for each in found if each["status"] not in ("canceled", "incomplete_expired")]


# -- HTML -------------------------------------------------------------------------------------------------


def _page(
    account: Account, session: Json, customer: Json, error: str | None = None, status: int = 200
) -> Page:
    plans = "".join(_plan(account, each) for each in _open_subscriptions(account, customer))
    body = (
        f"{pages.alert(error)}<h2>Plans</h2>{plans or '<p>None at present.</p>'}"
        f"<h2>Card</h2>{_card(account, customer)}"
        '<form method="post"><label for="card_number">New card number</label>'
        '<input id="card_number" name="card_number" required inputmode="numeric"'
        ' placeholder="4242 4242 4242 4242">'
        f"{pages.button('Change card', 'change', main=True)}</form>"
        f"<h2>Billing details</h2>{_details(account, customer)}"
        f"<h2>Invoices</h2>{_invoices(account, customer)}{_back(session)}"
    )
    return pages.page("Your billing", body, status)


def _details(account: Account, customer: Json) -> str:
    country = escape((customer["address"] or {}).get("country") or "")
    known = escape(", ".join(each["value"] for each in tax_ids.of_customer(account, customer["id"])))
    return (
        f'<form method="post"><label for="country">Country (two letters)</label>'
        f'<input id="country" name="country" maxlength="2" value="{country}">'
        f'<label for="tax_id">VAT id{f" (now {known})" if known else ""}</label>'
        f'<input id="tax_id" name="tax_id">{pages.button("Save", "save")}</form>'
    )


def _plan(account: Account, subscription: Json) -> str:
    items = subscription["items"]["data"]
    names = ", ".join(
        escape((account.peek("product", item["price"]["product"]) or {}).get("name") or item["price"]["id"])
        + (f" &times; {item['quantity']}" if item.get("quantity", 1) != 1 else "")
        for item in items
    )
    ends = _day(items[0]["current_period_end"])
    if subscription["cancel_at_period_end"]:
        said, name, label = f"ends on {ends}", "keep_subscription", "Keep the plan"
    else:
        said, name, label = (
            f"{subscription['status']}, renews on {ends}",
            "cancel_subscription",
            "Cancel the plan",
        )
    return (
        f'<form method="post"><p>{names} <span class="dim">({said})</span></p>'
        f'<button type="submit" name="{name}" value="{subscription["id"]}">{label}</button></form>'
    )


def _card(account: Account, customer: Json) -> str:
    default = customer["invoice_settings"]["default_payment_method"]
    own = [each["default_payment_method"] for each in _open_subscriptions(account, customer)]
    method = account.peek("payment_method", next((each for each in [*own, default] if each), None))
    if method is None:
        return "<p>No card is saved.</p>"
    card = method["card"]
    return (
        f"<p>{escape(card['brand'].title())} ending in {card['last4']}, "
        f"good until {card['exp_month']:02}/{card['exp_year']}</p>"
    )


def _invoices(account: Account, customer: Json) -> str:
    found = account.find("invoice", customer=customer["id"])
    shown = [invoice for invoice in reversed(found) if invoice["status"] != "draft"][:MAX_INVOICES]
    if not shown:
        return "<p>None yet.</p>"
    rows = "".join(
        f'<tr><th scope="row">{_day(invoice["created"])}'
        f'<br><span class="dim">{escape(invoice["number"] or "")}, '
        f"{invoice['status']}</span></th><td>{pages.money(invoice['total'], invoice['currency'])}</td></tr>"
        for invoice in shown
    )
    return f"<table><tbody>{rows}</tbody></table>"


def _back(session: Json) -> str:
    url = session["return_url"]
    return f'<p><a href="{escape(url)}">Back</a></p>' if url else ""


def _day(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%d %B %Y")


ROUTES = [
    Route("GET", "/p/session/{id}", show, kind="page"),
    Route("POST", "/p/session/{id}", submit, kind="page"),
]
