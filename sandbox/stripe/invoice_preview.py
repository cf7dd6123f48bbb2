"""Invoice previews of a subscription, with or without a change.

They use the functions of real invoices, so that both always agree.
"""

from __future__ import annotations

import copy

from sandbox.stripe import customers, invoice_items
from sandbox.stripe.account import PREVIEW_PREFIX, Account, Json
from sandbox.stripe.billing import (
    changes,
    creation,
    cycle,
    execution,
    invoicing,
    items,
    lines,
    pending_items,
    taxes,
)
from sandbox.stripe.billing.settings import DRAFT_SECONDS
from sandbox.stripe.faults import StripeFault, missing_parameter
from sandbox.stripe.parameters import anything, boolean, integer, integer_or, one_of, text
from sandbox.stripe.routing import Route


def create_preview(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/invoices/create_preview`. Nothing is stored."""
    if params.get("subscription"):
        subscription = account.refer("subscription", params["subscription"], "subscription")
        return _for_customer(
            account,
            _of_subscription(account, subscription, params.get("subscription_details") or {}, params),
            params,
        )
    if not params.get("customer"):
        raise missing_parameter("customer")
    customer = account.refer("customer", params["customer"], "customer")
    details = params.get("subscription_details")
    if details and details.get("items"):
        return _for_customer(account, _preview_creation(account, customer, details, params), params)
    running = [
        each
        for each in account.find("subscription", customer=customer["id"])
        if each["status"] in ("active", "trialing", "past_due")
    ]
    if running:
        soonest = min(running, key=lambda each: lines.period_of(each)[1])
        shown = _of_subscription(account, soonest, {}, params)
        return _for_customer(account, _with_items(account, shown, customer, params), params)
    if params.get("invoice_items"):
        draft = invoicing.compose(account, customer, [], reason="manual", currency=params.get("currency"))
        taxes.set_on(account, draft, params)
        return _for_customer(account, _as_preview(_with_items(account, draft, customer, params)), params)
    raise nothing_upcoming(customer["id"])


def _with_items(account: Account, invoice: Json, customer: Json, params: Json) -> Json:
    """Add the `invoice_items` of the parameters to a preview."""
    entries = [
        invoice_items.compose(account, copy.deepcopy(customer), each)
        for each in params.get("invoice_items") or []
    ]
    if entries:
        invoice["currency"] = invoice["currency"] or entries[0]["currency"]
        more = [lines.from_invoice_item(account, entry) for entry in entries]
        invoicing.set_lines(account, invoice, [*invoice["lines"]["data"], *more])
    return invoice


def nothing_upcoming(customer_id: str) -> StripeFault:
    """Return the fault of a preview without an upcoming invoice."""
    return StripeFault(
        f"No upcoming invoices for customer: {customer_id}", status=404, code="invoice_upcoming_none"
    )


def _of_subscription(account: Account, subscription: Json, details: Json, params: Json) -> Json:
    if subscription["status"] in ("canceled", "incomplete_expired"):
        raise nothing_upcoming(subscription["customer"])
    customer = account.get("customer", subscription["customer"])
    at = account.now(subscription)
    if params.get("automatic_tax"):
        subscription = copy.deepcopy(subscription)
        taxes.set_on(account, subscription, params)
    if details.get("cancel_now"):
        return _preview_cancellation(account, customer, subscription, details, at)
    change = changes.plan(account, subscription, details, at)
    if changes.bills_now(change, details):
        return _as_preview(execution.immediate_invoice(account, subscription, change))
    after = change.after
    creation.set_end(account, after, details, at)
    extra = [lines.from_invoice_item(account, entry) for entry in change.entries]
    found = cycle.upcoming(account, after, extra)
    ends = after["cancel_at"] is not None and after["cancel_at"] <= lines.period_of(after)[1]
    if not found and ends:
        raise nothing_upcoming(customer["id"])
    start, end = lines.period_of(after)
    invoice = invoicing.compose(
        account,
        customer,
        found,
        reason="upcoming",
        subscription=after,
        created=end,
        period_start=start,
        period_end=end,
        next_payment_attempt=end + DRAFT_SECONDS,
    )
    return _as_preview(invoice)


def _preview_cancellation(
    account: Account, customer: Json, subscription: Json, details: Json, at: int
) -> Json:
    """Return the last invoice if the subscription were canceled now."""
    found = [
        lines.from_invoice_item(account, entry) for entry in pending_items.waiting(account, subscription)
    ]
    if (details.get("proration_behavior") or "create_prorations") != "none":
        moment = details.get("proration_date") or at
        unused = pending_items.unused(account, subscription, moment)
        found += [lines.from_invoice_item(account, entry) for entry in unused]
    found += cycle.usage_so_far(account, subscription, at)
    return _as_preview(
        invoicing.compose(account, customer, found, reason="upcoming", subscription=subscription)
    )


def _preview_creation(account: Account, customer: Json, details: Json, params: Json) -> Json:
    """Return the first invoice of a new subscription."""
    tax = {"automatic_tax": params.get("automatic_tax")}
    subscription = creation.planned(account, customer, {**tax, **details})
    invoice = invoicing.compose(
        account,
        customer,
        [
            *(
                lines.from_invoice_item(account, each)
                for each in pending_items.waiting(account, subscription)
            ),
            *changes.period_lines(account, subscription),
        ],
        reason="upcoming",
        subscription=subscription,
    )
    invoice["parent"]["subscription_details"]["subscription"] = None
    return _as_preview(invoice)


def _for_customer(account: Account, invoice: Json, params: Json) -> Json:
    """Return the preview for a customer with other details than those stored, if any are given."""
    given = params.get("customer_details")
    if not given:
        return invoice
    details: Json = {}
    if given.get("address"):
        details["address"] = {**dict.fromkeys(customers.ADDRESS), **given["address"]}
    if given.get("tax_exempt"):
        details["tax_exempt"] = given["tax_exempt"]
    if given.get("tax_ids"):
        details["_tax_ids"] = given["tax_ids"]
    invoice["_customer_details"] = details
    invoicing.total(account, invoice)
    return invoice


def _as_preview(invoice: Json) -> Json:
    """Return the draft as a preview, which cannot be retrieved later."""
    shown = copy.deepcopy(invoice)
    preview_id = f"{PREVIEW_PREFIX}{invoice['id'].removeprefix('in_')}"
    shown.update(id=preview_id, billing_reason="upcoming", automatically_finalizes_at=None)
    shown["lines"]["url"] = "/v1/invoices/upcoming/lines"
    for line in shown["lines"]["data"]:
        line.update(id=line["id"].replace("il_", "il_tmp_", 1), invoice=preview_id)
    return shown


_ITEM = {name: leaf for name, leaf in items.UPDATE_ITEM.items() if name != "price_data"}
_DETAILS = {
    "billing_cycle_anchor": integer_or("now", "unchanged"),
    "billing_mode": anything,
    "cancel_at": integer_or("min_period_end", "max_period_end"),
    "cancel_at_period_end": boolean,
    "cancel_now": boolean,
    "default_tax_rates": [text],
    "items": [_ITEM],
    "proration_behavior": one_of("always_invoice", "create_prorations", "none"),
    "proration_date": integer,
    "start_date": integer,
    "trial_end": integer_or("now"),
}

ROUTES = [
    Route(
        "POST",
        "/v1/invoices/create_preview",
        create_preview,
        {
            "automatic_tax": {"enabled!": boolean, "liability": anything},
            "customer": text,
            "currency": text,
            "customer_details": {
                "address": customers.ADDRESS,
                "tax_exempt": one_of("none", "exempt", "reverse"),
                "tax_ids": [{"type!": text, "value!": text}],
            },
            "invoice_items": [invoice_items.PREVIEWED],
            "preview_mode": one_of("next", "recurring"),
            "subscription": text,
            "subscription_details": _DETAILS,
        },
    ),
]
