"""Invoices: API routes over `billing`, for subscription and manual invoices."""

from __future__ import annotations

from sandbox.stripe.account import Account, Json
from sandbox.stripe.billing import charging, cycle, invoicing, lines, pending_items, taxes
from sandbox.stripe.billing.calendar import DAY
from sandbox.stripe.billing.settings import DRAFT_SECONDS
from sandbox.stripe.faults import StripeFault, invalid
from sandbox.stripe.lists import as_list, page
from sandbox.stripe.parameters import LIST, anything, boolean, integer, merge_metadata, metadata, one_of, text
from sandbox.stripe.routing import Route

PLAIN = ("description", "footer", "default_payment_method", "statement_descriptor", "custom_fields")


def create(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/invoices`: an empty draft, or with `pending_invoice_items_behavior=include` the items."""
    customer = account.refer("customer", params["customer"], "customer")
    subscription = None
    if params.get("subscription"):
        subscription = account.refer("subscription", params["subscription"], "subscription")
    currency = params.get("currency") or customer["currency"] or "usd"
    wanted: list[Json] = []
    if subscription is not None or params.get("pending_invoice_items_behavior") == "include":
        wanted = _waiting(account, customer, subscription, currency)
        if subscription is not None and not wanted:
            raise StripeFault(
                "Nothing to invoice for subscription", code="invoice_no_subscription_line_items"
            )
    method = params.get("collection_method") or "charge_automatically"
    if method == "send_invoice" and params.get("days_until_due") is None and params.get("due_date") is None:
        raise invalid("Please supply `days_until_due` or `due_date` for `send_invoice`.", "days_until_due")
    advance = bool(params.get("auto_advance", False))
    invoice = invoicing.compose(
        account,
        customer,
        [lines.from_invoice_item(account, entry) for entry in wanted],
        reason="manual",
        subscription=subscription,
        currency=currency,
        collection_method=method,
        due_date=params.get("due_date"),
        _days_until_due=params.get("days_until_due"),
        metadata=merge_metadata(None, params.get("metadata")),
        **{name: params[name] for name in PLAIN if params.get(name) is not None},
    )
    taxes.set_on(account, invoice, params)
    invoicing.total(account, invoice)
    customer["currency"] = customer["currency"] or currency
    return invoicing.issue(account, invoice, advance=advance)


def retrieve(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/invoices/{id}`."""
    return account.get("invoice", ids["id"])


def update(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/invoices/{id}`."""
    invoice = account.get("invoice", ids["id"])
    changes: Json = {name: params[name] for name in PLAIN if name in params}
    if "metadata" in params:
        changes["metadata"] = merge_metadata(invoice["metadata"], params["metadata"])
    if params.get("days_until_due") is not None:
        changes["due_date"] = invoice["created"] + params["days_until_due"] * DAY
    if "auto_advance" in params:
        changes["auto_advance"] = params["auto_advance"]
        if invoice["status"] == "draft":
            at = account.now(invoice) + DRAFT_SECONDS if params["auto_advance"] else None
            changes["automatically_finalizes_at"] = at
    if invoice["status"] != "draft" and set(changes) - {
        "metadata", "auto_advance", "description", "footer", "default_payment_method",
    }:  # fmt: skip
        raise invalid("Finalized invoices can't be updated in this way.")
    account.change(invoice, "invoice.updated", **changes)
    return invoice


def delete(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`DELETE /v1/invoices/{id}`: manual drafts only; their items are pending again."""
    invoice = account.get("invoice", ids["id"])
    if invoice["status"] != "draft" or invoice["billing_reason"] != "manual":
        raise invalid("You can only delete draft invoices that were not made by a subscription.")
    for entry in account.find("invoiceitem", invoice=invoice["id"]):
        entry["invoice"] = None
    account.emit("invoice.deleted", invoice)
    account.remove(invoice)
    return {"id": invoice["id"], "object": "invoice", "deleted": True}


def finalize(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/invoices/{id}/finalize`; with `auto_advance` it is charged or sent too."""
    invoice = account.get("invoice", ids["id"])
    if "auto_advance" in params:
        invoice["auto_advance"] = params["auto_advance"]
    if invoice["auto_advance"]:
        cycle.finalize_automatically(account, invoice)
    else:
        charging.finalize(account, invoice)
    return invoice


def pay(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/invoices/{id}/pay`.

    Raises the card error of a declined payment, which still counts as an attempt.
    """
    invoice = account.get("invoice", ids["id"])
    if invoice["status"] == "paid":
        raise invalid("Invoice is already paid", code="invoice_already_paid")
    if invoice["status"] == "void":
        raise invalid("This invoice is void and can no longer be paid.", code="invoice_not_editable")
    if invoice["status"] == "draft":
        charging.finalize(account, invoice)
    if invoice["status"] == "paid":
        return invoice
    if params.get("paid_out_of_band"):
        invoicing.mark_paid(account, invoice)
        return invoice
    method = params.get("payment_method") or charging.payment_method_for(account, invoice)
    if method is None:
        raise charging.missing_payment_method()
    charging.attempt(account, invoice, method)
    if invoice["status"] != "paid":
        raise charging.failure(account, invoice, "invoice_payment_intent_requires_action")
    return invoice


def send(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/invoices/{id}/send`: finalize if needed, and emit `invoice.sent` instead of a mail."""
    invoice = account.get("invoice", ids["id"])
    if invoice["collection_method"] != "send_invoice":
        raise invalid("You can only send invoices with `collection_method=send_invoice`.")
    if invoice["status"] == "draft":
        charging.finalize(account, invoice)
    account.emit("invoice.sent", invoice)
    return invoice


def void(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/invoices/{id}/void`."""
    invoice = account.get("invoice", ids["id"])
    invoicing.void(account, invoice)
    return invoice


def mark_uncollectible(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/invoices/{id}/mark_uncollectible`."""
    invoice = account.get("invoice", ids["id"])
    invoicing.mark_uncollectible(account, invoice)
    return invoice


def list_invoices(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/invoices`, by `customer`, `subscription`, `status`, `collection_method`."""
    equals = {name: params[name] for name in ("customer", "status", "collection_method") if params.get(name)}
    if not (params.get("customer") or params.get("subscription")):
        equals["test_clock"] = None
    found = account.find("invoice", **equals)
    if params.get("subscription"):
        found = [each for each in found if invoicing.subscription_of(each) == params["subscription"]]
    return page(found, params, "/v1/invoices")


def list_lines(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/invoices/{id}/lines`."""
    invoice = account.get("invoice", ids["id"])
    return page(invoice["lines"]["data"], params, invoice["lines"]["url"], newest_first=False)


def retrieve_payment(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/invoice_payments/{id}`."""
    return account.get("invoice_payment", ids["id"])


def list_payments(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/invoice_payments`, by `invoice`, `status` and `payment[payment_intent]`."""
    equals = {name: params[name] for name in ("invoice", "status") if params.get(name)}
    found = account.find("invoice_payment", **equals)
    intent = (params.get("payment") or {}).get("payment_intent")
    if intent:
        found = [each for each in found if each["payment"].get("payment_intent") == intent]
    return page(found, params, "/v1/invoice_payments")


def _waiting(account: Account, customer: Json, subscription: Json | None, currency: str) -> list[Json]:
    if subscription is not None:
        return pending_items.own(account, subscription)
    found = account.find("invoiceitem", customer=customer["id"], invoice=None, currency=currency)
    return [entry for entry in found if pending_items.owner(entry) is None]


def _payments_of(account: Account, invoice: Json) -> Json:
    found = account.find("invoice_payment", invoice=invoice["id"])
    return as_list(found, "/v1/invoice_payments")


def _confirmation_secret(account: Account, invoice: Json) -> Json | None:
    intent = account.peek("payment_intent", invoice.get("_intent"))
    return intent and {"client_secret": intent["client_secret"], "type": "payment_intent"}


LISTENERS = {
    f"payment_intent.{word}": charging.on_intent
    for word in ("created", "requires_action", "succeeded", "payment_failed")
}
INCLUDES = {("invoice", "payments"): _payments_of, ("invoice", "confirmation_secret"): _confirmation_secret}

_COMMON = {
    "auto_advance": boolean,
    "custom_fields": anything,
    "days_until_due": integer,
    "default_payment_method": text,
    "description": text,
    "due_date": integer,
    "footer": text,
    "metadata": metadata,
    "statement_descriptor": text,
}
_PAY = {
    "off_session": boolean,
    "paid_out_of_band": boolean,
    "payment_method": text,
}
_PATH = "/v1/invoices/{id}"

ROUTES = [
    Route(
        "POST",
        "/v1/invoices",
        create,
        {
            **_COMMON,
            "customer!": text,
            "automatic_tax": {"enabled!": boolean, "liability": anything},
            "default_tax_rates": [text],
            "collection_method": one_of("charge_automatically", "send_invoice"),
            "currency": text,
            "pending_invoice_items_behavior": one_of("exclude", "include"),
            "subscription": text,
        },
    ),
    Route(
        "GET",
        "/v1/invoices",
        list_invoices,
        {
            **LIST,
            "customer": text,
            "subscription": text,
            "collection_method": text,
            "status": one_of("draft", "open", "paid", "uncollectible", "void"),
        },
    ),
    Route("GET", _PATH, retrieve, {}),
    Route("POST", _PATH, update, _COMMON),
    Route("DELETE", _PATH, delete, {}),
    Route("POST", _PATH + "/finalize", finalize, {"auto_advance": boolean}),
    Route("POST", _PATH + "/pay", pay, _PAY),
    Route("POST", _PATH + "/send", send, {}),
    Route("POST", _PATH + "/void", void, {}),
    Route("POST", _PATH + "/mark_uncollectible", mark_uncollectible, {}),
    Route("GET", _PATH + "/lines", list_lines, LIST),
    Route("GET", "/v1/invoice_payments/{id}", retrieve_payment, {}),
    Route(
        "GET",
        "/v1/invoice_payments",
        list_payments,
        {**LIST, "invoice": text, "status": text, "payment": {"type": text, "payment_intent": text}},
    ),
]
