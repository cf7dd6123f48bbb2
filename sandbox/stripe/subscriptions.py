"""Subscriptions: API routes over `billing`, and the listeners that update their status."""

from __future__ import annotations

from sandbox.stripe.account import Account, Action, Json
from sandbox.stripe.billing import (
    creation,
    cycle,
    execution,
    invoicing,
    lines,
    object_templates,
    pauses,
    pending_items,
    settings,
    subscription_status,
    taxes,
)
from sandbox.stripe.billing.items import CREATE_ITEM, UPDATE_ITEM
from sandbox.stripe.billing.updates import updating
from sandbox.stripe.faults import StripeFault, invalid
from sandbox.stripe.lists import page
from sandbox.stripe.parameters import (
    LIST,
    anything,
    boolean,
    integer,
    integer_or,
    merge_metadata,
    metadata,
    one_of,
    text,
)
from sandbox.stripe.routing import Route

PLAIN = ("days_until_due", "default_payment_method", "description", "collection_method")
create_subscription = creation.create_subscription


def create(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/subscriptions`."""
    return creation.create_subscription(account, params)


def retrieve(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/subscriptions/{id}`."""
    return account.get("subscription", ids["id"])


def update(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/subscriptions/{id}`: settings, items, trial, cycle, cancellation, pause of collection."""
    subscription = account.get("subscription", ids["id"])
    _must_be_open(subscription, params)
    at = account.now(subscription)
    with updating(account, subscription):
        _set_tax(account, subscription, params)
        if {"items", "trial_end", "billing_cycle_anchor"} & set(params):
            execution.execute(account, subscription, params, at)
        if params.get("add_invoice_items"):
            pending_items.store(
                account, creation.extra_items(account, subscription, params["add_invoice_items"])
            )
        _set_plain(account, subscription, params)
        creation.set_end(account, subscription, params, at)
        if subscription["status"] == "trialing":
            creation.emit_short_trial_notice(account, subscription, at)
    return subscription


def cancel(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`DELETE /v1/subscriptions/{id}`: immediately.

    `prorate` credits unused time, `invoice_now` bills pending items.
    """
    subscription = account.get("subscription", ids["id"])
    if subscription["status"] in subscription_status.ENDED:
        raise StripeFault(
            f"No such subscription: '{ids['id']}'", status=404, code="resource_missing", param="id"
        )
    at = account.now(subscription)
    with updating(account, subscription):
        details = params.get("cancellation_details") or {}
        subscription["cancellation_details"] = {**subscription["cancellation_details"], **details}
        if params.get("prorate"):
            pending_items.credit_unused(account, subscription, at)
        else:
            pending_items.forget(
                account, [each for each in pending_items.own(account, subscription) if each["proration"]]
            )
        if params.get("invoice_now"):
            cycle.last_invoice(account, subscription, cycle.usage_so_far(account, subscription, at))
        if subscription["status"] == "incomplete":
            subscription_status.expire(account, subscription)
        else:
            subscription_status.end(account, subscription, at, reason="cancellation_requested")
    return subscription


def pause(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/subscriptions/{id}/pause`."""
    subscription = account.get("subscription", ids["id"])
    pauses.pause(account, subscription, params, account.now(subscription))
    return subscription


def resume(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/subscriptions/{id}/resume`: by default a new cycle begins and is invoiced now."""
    subscription = account.get("subscription", ids["id"])
    pauses.resume(account, subscription, params, account.now(subscription))
    return subscription


def list_subscriptions(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/subscriptions`, by `customer`, `status`, `price`, `collection_method`, `test_clock`.

    Canceled ones only if requested.
    """
    equals = {
        name: params[name] for name in ("customer", "collection_method", "test_clock") if params.get(name)
    }
    if not params.get("customer") and "test_clock" not in equals:
        equals["test_clock"] = None
    found = account.find("subscription", **equals)
    status = params.get("status")
    if status is None:
        found = [each for each in found if each["status"] not in subscription_status.ENDED]
    elif status == "ended":
        found = [each for each in found if each["status"] in subscription_status.ENDED]
    elif status != "all":
        found = [each for each in found if each["status"] == status]
    if params.get("price"):
        found = [
            each
            for each in found
            if any(item["price"]["id"] == params["price"] for item in each["items"]["data"])
        ]
    for name in ("current_period_start", "current_period_end"):
        index = name == "current_period_end"
        for bound, value in (params.get(name) or {}).items():
            found = [each for each in found if _within(lines.period_of(each)[index], bound, value)]
    return page(found, params, "/v1/subscriptions")


def _within(moment: int, bound: str, value: int) -> bool:
    return {"gt": moment > value, "gte": moment >= value, "lt": moment < value, "lte": moment <= value}[bound]


def _must_be_open(subscription: Json, params: Json) -> None:
    if subscription["status"] in subscription_status.ENDED and set(params) - {
        "metadata",
        "cancellation_details",
    }:
        raise invalid("A canceled subscription can only update its cancellation_details and metadata.")
    if subscription["pending_update"] and {"items", "trial_end", "billing_cycle_anchor"} & set(params):
        raise invalid("This subscription has a pending update; pay or void its invoice first.")


def _set_plain(account: Account, subscription: Json, params: Json) -> None:
    if params.get("default_payment_method"):
        account.refer("payment_method", params["default_payment_method"], "default_payment_method")
    for name in PLAIN:
        if name in params:
            subscription[name] = params[name]
    if "metadata" in params:
        subscription["metadata"] = merge_metadata(subscription["metadata"], params["metadata"])
    if "pause_collection" in params:
        given = params["pause_collection"]
        subscription["pause_collection"] = given and {"resumes_at": None, **given}
    if params.get("payment_settings"):
        subscription["payment_settings"] = object_templates.payment_settings(
            {**subscription["payment_settings"], **params["payment_settings"]}
        )
    if params.get("trial_settings"):
        subscription["trial_settings"] = params["trial_settings"]
    if params.get("cancellation_details"):
        subscription["cancellation_details"] = {
            **subscription["cancellation_details"],
            **params["cancellation_details"],
        }
    if "discounts" in params:
        creation.set_discounts(account, subscription, params["discounts"] or [])


def _set_tax(account: Account, subscription: Json, params: Json) -> None:
    """Set how a subscription is taxed before its items change, so that this change is taxed like it."""
    taxes.set_on(account, subscription, params)
    if params.get("automatic_tax"):
        taxes.require_location(account, subscription)


def due(account: Account, until: int, clock_id: str | None) -> list[tuple[int, Action]]:
    """Return the next steps of all subscriptions and invoices."""
    found: list[tuple[int, Action]] = []
    for subscription in account.each("subscription", test_clock=clock_id):
        step = (
            None
            if subscription["status"] in subscription_status.ENDED
            else cycle.next_step(account, subscription)
        )
        if step is not None and step[0] <= until:
            found.append((step[0], _bind_step(account, subscription, step[1])))
    for invoice in account.each("invoice", test_clock=clock_id):
        step = cycle.next_invoice_step(account, invoice) if invoice["status"] in ("draft", "open") else None
        if step is not None and step[0] <= until:
            found.append((step[0], _bind_step(account, invoice, step[1])))
    return found


def _bind_step(account: Account, obj: Json, action: Action) -> Action:
    """Return the step bound to the live object, which was only read so far."""

    def run() -> None:
        account.get(obj["object"], obj["id"])
        action()

    return run


def _on_customer_deleted(account: Account, customer: Json) -> None:
    for subscription in account.find("subscription", customer=customer["id"]):
        if subscription["status"] not in subscription_status.ENDED:
            subscription_status.end(
                account, subscription, account.now(customer), reason="cancellation_requested"
            )


def _on_price_updated(account: Account, price: Json) -> None:
    """Listener: update the price shown in items; its amounts never change."""
    for subscription in account.each("subscription"):
        if any(item["price"]["id"] == price["id"] for item in subscription["items"]["data"]):
            for item in account.get("subscription", subscription["id"])["items"]["data"]:
                if item["price"]["id"] == price["id"]:
                    item.update(price=dict(price), plan=object_templates.plan(price))


def _on_overdue(account: Account, invoice: Json) -> None:
    subscription = account.peek("subscription", invoicing.subscription_of(invoice))
    if subscription is not None and subscription["status"] == "active":
        live = account.get("subscription", subscription["id"])
        with updating(account, live):
            live["status"] = "past_due"


LISTENERS = {
    "invoice.payment_succeeded": subscription_status.on_invoice_settled,
    "invoice.voided": subscription_status.on_invoice_settled,
    "invoice.marked_uncollectible": subscription_status.on_invoice_settled,
    "invoice.payment_failed": subscription_status.on_invoice_failed,
    "invoice.overdue": _on_overdue,
    "customer.deleted": _on_customer_deleted,
    "price.updated": _on_price_updated,
}

_DISCOUNTS = [{"coupon": text, "discount": text, "promotion_code": text}]
_DETAILS = {"comment": text, "feedback": text}
_EXTRA_ITEM = {
    "price": text, "quantity": integer, "metadata": metadata, "discountable": boolean, "tax_rates": [text],
}  # fmt: skip
_COMMON = {
    "add_invoice_items": [_EXTRA_ITEM],
    "automatic_tax": {"enabled!": boolean, "liability": anything},
    "cancel_at": integer_or("min_period_end", "max_period_end"),
    "cancel_at_period_end": boolean,
    "collection_method": one_of("charge_automatically", "send_invoice"),
    "days_until_due": integer,
    "default_payment_method": text,
    "default_tax_rates": [text],
    "description": text,
    "discounts": _DISCOUNTS,
    "metadata": metadata,
    "off_session": boolean,
    "payment_behavior": one_of(
        "allow_incomplete", "default_incomplete", "error_if_incomplete", "pending_if_incomplete"
    ),
    "payment_settings": {
        "payment_method_options": anything,
        "payment_method_types": [text],
        "save_default_payment_method": one_of("off", "on_subscription"),
    },
    "proration_behavior": one_of("always_invoice", "create_prorations", "none"),
    "trial_end": integer_or("now"),
    "trial_from_plan": boolean,
    "trial_settings": {
        "end_behavior!": {"missing_payment_method!": one_of("cancel", "create_invoice", "pause")}
    },
}
_CREATE = {
    **_COMMON,
    "customer!": text,
    "items!": [CREATE_ITEM],
    "backdate_start_date": integer,
    "billing_cycle_anchor": integer,
    "billing_cycle_anchor_config": {
        "day_of_month!": integer, "hour": integer, "minute": integer, "month": integer, "second": integer,
    },
    "billing_mode": anything,
    "currency": text,
    "trial_period_days": integer,
}  # fmt: skip
_UPDATE = {
    **_COMMON,
    "items": [UPDATE_ITEM],
    "billing_cycle_anchor": one_of("now", "unchanged"),
    "cancellation_details": _DETAILS,
    "pause_collection": {
        "behavior!": one_of("keep_as_draft", "mark_uncollectible", "void"),
        "resumes_at": integer,
    },
    "proration_date": integer,
}
_RANGE = {"gt": integer, "gte": integer, "lt": integer, "lte": integer}
_LIST = {
    **LIST,
    "collection_method": text,
    "current_period_end": _RANGE,
    "current_period_start": _RANGE,
    "customer": text,
    "price": text,
    "status": one_of(
        "active", "all", "canceled", "ended", "incomplete", "incomplete_expired", "past_due", "paused",
        "trialing", "unpaid",
    ),
    "test_clock": text,
}  # fmt: skip
_PATH = "/v1/subscriptions/{id}"

ROUTES = [
    Route("POST", "/v1/subscriptions", create, _CREATE),
    Route("GET", "/v1/subscriptions", list_subscriptions, _LIST),
    Route("GET", _PATH, retrieve, {}),
    Route("POST", _PATH, update, _UPDATE),
    Route(
        "DELETE",
        _PATH,
        cancel,
        {"cancellation_details": _DETAILS, "invoice_now": boolean, "prorate": boolean},
    ),
    Route("POST", _PATH + "/pause", pause, pauses.PAUSE_FIELDS),
    Route("POST", _PATH + "/resume", resume, pauses.RESUME_FIELDS),
    *settings.ROUTES,
]
