"""Life cycle of an invoice apart from its payment: compose, issue, finalize, mark paid, void."""

from __future__ import annotations

from sandbox.stripe import customers, discounts, payment_intents
from sandbox.stripe.account import Account, Json
from sandbox.stripe.billing import object_templates, taxes
from sandbox.stripe.billing.calendar import DAY
from sandbox.stripe.billing.settings import DRAFT_SECONDS
from sandbox.stripe.faults import invalid


def compose(
    account: Account,
    customer: Json,
    lines: list[Json],
    *,
    reason: str,
    subscription: Json | None = None,
    **values: object,
) -> Json:
    """Return a draft with lines and totals, not stored yet.

    It is then issued, or shown as a preview.
    """
    at = account.now(customer)
    base: Json = {
        "billing_reason": reason,
        "created": at,
        "currency": (subscription or {}).get("currency") or customer.get("currency") or "usd",
        "period_start": at,
        "period_end": at,
        "automatically_finalizes_at": at + DRAFT_SECONDS,
        "_days_until_due": None,
        "_discounts": [],
    }
    if subscription is not None:
        base |= {
            "collection_method": subscription["collection_method"],
            "description": subscription["description"],
            "parent": {
                "quote_details": None,
                "subscription_details": {
                    "metadata": dict(subscription["metadata"]),
                    "subscription": subscription["id"],
                },
                "type": "subscription_details",
            },
            "automatic_tax": {
                "disabled_reason": None,
                "liability": None,
                "provider": None,
                "status": None,
                **subscription["automatic_tax"],
            },
            "default_tax_rates": subscription["default_tax_rates"],
            "_days_until_due": subscription["days_until_due"],
            "discounts": _running_discounts(account, subscription, at),
        }
    invoice = object_templates.invoice(account.new_id("in"), customer, **{**base, **values})
    _refresh_customer(account, invoice)
    set_lines(account, invoice, lines)
    return invoice


def set_lines(account: Account, invoice: Json, lines: list[Json]) -> None:
    """Set the lines of a draft and compute its totals."""
    for line in lines:
        line["invoice"] = invoice["id"]
    invoice["lines"]["data"] = lines
    invoice["lines"]["total_count"] = len(lines)
    total(account, invoice)


def total(account: Account, invoice: Json) -> None:
    """Compute totals from lines, discounts, taxes and the customer's balance (negative is credit)."""
    lines = invoice["lines"]["data"]
    subtotal = sum(line["amount"] for line in lines)
    amounts = discounts.apply(account, invoice["discounts"], lines, invoice["currency"])
    taxes.apply(account, invoice)
    net_of_discounts = subtotal - sum(entry["amount"] for entry in amounts)
    whole = net_of_discounts + taxes.added(invoice["total_taxes"])
    customer = account.peek("customer", invoice["customer"]) or {}
    balance = int(customer.get("balance") or 0)
    due = max(0, whole + balance)
    invoice.update(
        subtotal=subtotal,
        subtotal_excluding_tax=taxes.subtotal_excluding_tax(account, invoice),
        total=whole,
        total_excluding_tax=net_of_discounts - taxes.included(invoice["total_taxes"]),
        total_discount_amounts=amounts,
        starting_balance=balance,
        amount_due=due,
        amount_remaining=due,
    )


def issue(account: Account, invoice: Json, *, advance: bool = True) -> Json:
    """Store a composed draft, attach its invoice items, and emit `invoice.created`."""
    invoice["auto_advance"] = advance
    if not advance:
        invoice["automatically_finalizes_at"] = None
    account.insert(invoice)
    for line in invoice["lines"]["data"]:
        entry_id = invoice_item_of(line)
        if entry_id is not None and account.peek("invoiceitem", entry_id) is not None:
            account.get("invoiceitem", entry_id)["invoice"] = invoice["id"]
    subscription_id = subscription_of(invoice)
    if subscription_id is not None and account.peek("subscription", subscription_id) is not None:
        subscription = account.get("subscription", subscription_id)
        subscription["latest_invoice"] = invoice["id"]
        _end_used_discounts(account, subscription, invoice)
    account.emit("invoice.created", invoice)
    return invoice


def finalize(account: Account, invoice: Json) -> None:
    """Change a draft to open: number, links and customer balance; without an amount due it is paid."""
    if invoice["status"] != "draft":
        raise invalid("This invoice is already finalized, you can't re-finalize a non-draft invoice.")
    _refresh_customer(account, invoice)
    total(account, invoice)
    taxes.on_finalization(account, invoice)
    now = account.now(invoice)
    days = invoice["_days_until_due"]
    invoice.update(
        status="open",
        number=_next_number(account, invoice),
        effective_at=now,
        due_date=invoice["due_date"] or (now + days * DAY if days is not None else None),
        automatically_finalizes_at=None,
        hosted_invoice_url=f"{account.public_url}/invoices/{invoice['id']}",
        invoice_pdf=f"{account.public_url}/invoices/{invoice['id']}/pdf",
        status_transitions={**invoice["status_transitions"], "finalized_at": now},
    )
    _settle_balance(account, invoice)
    account.emit("invoice.finalized", invoice)
    if invoice["amount_due"] == 0:
        mark_paid(account, invoice)


def mark_paid(account: Account, invoice: Json) -> None:
    """Mark the invoice as paid in full."""
    transitions = {**invoice["status_transitions"], "paid_at": account.now(invoice)}
    account.change(
        invoice,
        "invoice.updated",
        status="paid",
        amount_paid=invoice["amount_due"],
        amount_remaining=0,
        attempted=True,
        auto_advance=False,
        next_payment_attempt=None,
        status_transitions=transitions,
    )
    account.emit("invoice.paid", invoice)
    account.emit("invoice.payment_succeeded", invoice)


def void(account: Account, invoice: Json) -> None:
    """Void an open or uncollectible invoice; its number stays."""
    if invoice["status"] not in ("open", "uncollectible"):
        raise invalid(f"You can only void open or uncollectible invoices; this one is {invoice['status']}.")
    intent = account.peek("payment_intent", invoice.get("_intent"))
    if intent is not None and intent["status"] not in ("succeeded", "canceled"):
        payment_intents.cancel_intent(account, account.get("payment_intent", intent["id"]), "void_invoice")
        payment = account.get("invoice_payment", intent["_invoice_payment"])
        payment.update(
            status="canceled", status_transitions={"canceled_at": account.now(invoice), "paid_at": None}
        )
    _close(account, invoice, "void", "voided_at", amount_remaining=0)
    account.emit("invoice.voided", invoice)


def mark_uncollectible(account: Account, invoice: Json) -> None:
    """Mark an open invoice as uncollectible; it may still be paid."""
    if invoice["status"] != "open":
        raise invalid(f"You can only mark open invoices as uncollectible; this one is {invoice['status']}.")
    _close(account, invoice, "uncollectible", "marked_uncollectible_at")
    account.emit("invoice.marked_uncollectible", invoice)


def stop_collecting(account: Account, invoice: Json) -> None:
    """Stop all automatic steps of an invoice without changing its status."""
    account.change(
        invoice,
        "invoice.updated",
        auto_advance=False,
        next_payment_attempt=None,
        automatically_finalizes_at=None,
    )


def subscription_of(invoice: Json) -> str | None:
    """Return the id of an invoice's subscription."""
    details = (invoice["parent"] or {}).get("subscription_details")
    return details["subscription"] if details else None


def invoice_item_of(line: Json) -> str | None:
    """Return the id of a line's invoice item."""
    parent = line["parent"]
    details = parent["invoice_item_details"] or parent["subscription_item_details"] or {}
    item: str | None = details.get("invoice_item")
    return item


def _refresh_customer(account: Account, invoice: Json) -> None:
    """Copy what taxes depend on from the customer, whose address may have changed since the draft."""
    known = taxes.customer_of(account, invoice)
    invoice.update(
        customer_address=known["address"],
        customer_tax_exempt=known["tax_exempt"] or "none",
        customer_tax_ids=known["_tax_ids"],
    )


def _running_discounts(account: Account, subscription: Json, at: int) -> list[str]:
    found = [account.peek("discount", discount_id) for discount_id in subscription["discounts"]]
    return [each["id"] for each in found if each is not None and (each["end"] is None or each["end"] > at)]


def _end_used_discounts(account: Account, subscription: Json, invoice: Json) -> None:
    """End discounts after the first invoice they reduce (`once`) or at their end (`repeating`)."""
    used = {entry["discount"] for entry in invoice["total_discount_amounts"] if entry["amount"]}
    for discount_id in list(subscription["discounts"]):
        discount = account.get("discount", discount_id)
        over = discount["end"] is not None and discount["end"] <= account.now(invoice)
        if over or (discount["_coupon"]["duration"] == "once" and discount_id in used):
            subscription["discounts"].remove(discount_id)
            account.emit("customer.discount.deleted", discount)


def _settle_balance(account: Account, invoice: Json) -> None:
    """Apply the customer's balance to the invoice, or store the rest of a negative invoice as credit."""
    start, whole = invoice["starting_balance"], invoice["total"]
    end = min(0, whole + start)
    invoice["ending_balance"] = end
    if end != start:
        customer = account.get("customer", invoice["customer"])
        customers.add_balance(account, customer, end - start, "applied_to_invoice", invoice=invoice["id"])
        account.emit("customer.updated", customer, {"balance": start})


def _close(account: Account, invoice: Json, status: str, moment: str, **values: object) -> None:
    account.change(
        invoice,
        "invoice.updated",
        status=status,
        auto_advance=False,
        next_payment_attempt=None,
        status_transitions={**invoice["status_transitions"], moment: account.now(invoice)},
        **values,
    )


def _next_number(account: Account, invoice: Json) -> str:
    """Return the next number `PREFIX-0001`, counted per customer."""
    customer = account.get("customer", invoice["customer"])
    sequence = int(customer.get("next_invoice_sequence") or 1)
    customer["next_invoice_sequence"] = sequence + 1
    return f"{customer['invoice_prefix']}-{sequence:04d}"
