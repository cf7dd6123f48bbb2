"""Hosted invoice page, where an invoice is paid, and its printable version behind `invoice_pdf`."""

from __future__ import annotations

from html import escape

from sandbox.stripe import cards, pages, payment_methods
from sandbox.stripe.account import Account, Json
from sandbox.stripe.billing import calendar, charging
from sandbox.stripe.routing import Page, Route


def show(account: Account, params: Json, ids: dict[str, str]) -> Page:
    """`GET /invoices/{id}`: the invoice, with a payment form while it is open."""
    invoice = account.get("invoice", ids["id"])
    return _page(account, invoice, _form() if invoice["status"] == "open" else "")


def pay(account: Account, params: Json, ids: dict[str, str]) -> Page:
    """`POST /invoices/{id}` with `card_number`: pay an open invoice and redirect to the page."""
    invoice = account.get("invoice", ids["id"])
    if invoice["status"] != "open":
        return pages.redirect(f"/invoices/{invoice['id']}")
    card = cards.BY_NUMBER.get(str(params.get("card_number", "")).replace(" ", ""))
    if card is None:
        return _page(
            account, invoice, pages.alert("This card number is not one of Stripe's test numbers.") + _form()
        )
    method = payment_methods.new_method(account, card)
    charging.attempt(account, invoice, method["id"])
    if invoice["status"] == "paid":
        return pages.redirect(f"/invoices/{invoice['id']}")
    intent = account.get("payment_intent", invoice["_intent"])
    if intent["status"] == "requires_action":
        return pages.redirect(intent["next_action"]["redirect_to_url"]["url"])
    return _page(account, invoice, pages.alert(intent["last_payment_error"]["message"]) + _form())


def pdf(account: Account, params: Json, ids: dict[str, str]) -> Page:
    """`GET /invoices/{id}/pdf`: the printable page."""
    return _page(account, account.get("invoice", ids["id"]), "")


def _page(account: Account, invoice: Json, form: str) -> Page:
    currency = invoice["currency"]
    rows = "".join(
        f"<tr><td>{escape(line['description'] or '')}</td>"
        f"<td>{pages.money(line['amount'], currency)}</td></tr>"
        for line in invoice["lines"]["data"]
    )
    totals = _taxes(account, invoice) + "".join(
        f"<tr><th scope=row>{label}</th><td>{pages.money(invoice[name], currency)}</td></tr>"
        for label, name in (("Total", "total"), ("Paid", "amount_paid"), ("To pay", "amount_remaining"))
    )
    due = f" Due on {calendar.day_name(invoice['due_date'])}." if invoice["due_date"] else ""
    body = (
        f"<p>{escape(invoice['customer_name'] or invoice['customer_email'] or '')}</p>"
        f"<p class=dim>{calendar.day_name(invoice['created'])}, {escape(invoice['status'])}.{due}</p>"
        f"<table><caption>What is billed</caption><tbody>{rows}</tbody><tfoot>{totals}</tfoot></table>{form}"
    )
    return pages.page(f"Invoice {invoice['number'] or '(draft)'}", body)


def _taxes(account: Account, invoice: Json) -> str:
    """Return the net amount and the taxes as rows; nothing for an invoice without tax."""
    currency, rows = invoice["currency"], [("Net", invoice["total_excluding_tax"])]
    for tax in invoice["total_taxes"]:
        rate = account.get("tax_rate", tax["tax_rate_details"]["tax_rate"])
        if name := pages.tax_name(rate, tax["taxability_reason"]):
            rows.append((name, tax["amount"]))
    return "".join(
        f"<tr><th scope=row>{escape(name)}</th><td>{pages.money(amount, currency)}</td></tr>"
        for name, amount in (rows if len(rows) > 1 else [])
    )


def _form() -> str:
    return (
        "<form method=post><label for=card_number>Card number</label>"
        "<input id=card_number name=card_number inputmode=numeric autocomplete=cc-number required>"
        "<button class=main type=submit>Pay</button></form>"
    )


ROUTES = [
    Route("GET", "/invoices/{id}", show, kind="page"),
    Route("POST", "/invoices/{id}", pay, kind="page"),
    Route("GET", "/invoices/{id}/pdf", pdf, kind="page"),
]
