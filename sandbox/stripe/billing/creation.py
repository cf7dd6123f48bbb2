"""Creation of subscriptions: items, trial, cycle, first invoice and its payment."""

from __future__ import annotations

from sandbox.stripe import discounts, tax_rates
from sandbox.stripe.account import Account, Json
from sandbox.stripe.billing import (
    calendar,
    changes,
    charging,
    cycle,
    invoicing,
    items,
    lines,
    object_templates,
    pending_items,
    pricing,
    taxes,
)
from sandbox.stripe.billing.calendar import DAY
from sandbox.stripe.billing.settings import TRIAL_NOTICE_SECONDS
from sandbox.stripe.billing.updates import updating
from sandbox.stripe.faults import StripeFault, invalid, missing_parameter
from sandbox.stripe.parameters import merge_metadata

MAX_TRIAL_DAYS = 730
"""Stripe's limit of trial days."""


def create_subscription(account: Account, params: Json) -> Json:
    """Create a subscription with its first invoice.

    Takes the parameters of `POST /v1/subscriptions`, and raises its faults.
    """
    customer = account.refer("customer", params["customer"], "customer")
    at = account.now(customer)
    subscription = _new(account, customer, params, at)
    items.apply(account, subscription, params["items"], at)
    taxes.set_on(account, subscription, params)
    taxes.require_location(account, subscription)
    _set_currency(customer, subscription)
    _begin(account, subscription, params, at)
    account.insert(subscription)
    set_discounts(account, subscription, params.get("discounts") or [])
    set_end(account, subscription, params, at)
    extra = extra_items(account, subscription, params.get("add_invoice_items") or [])
    invoice = _first_invoice(account, customer, subscription, params, extra)
    if subscription["collection_method"] == "send_invoice":
        _announce(account, subscription, invoice, extra)
    else:
        _collect_first(
            account, subscription, invoice, params.get("payment_behavior") or "allow_incomplete", extra
        )
    if subscription["status"] == "trialing":
        emit_short_trial_notice(account, subscription, at)
    return subscription


def planned(account: Account, customer: Json, params: Json) -> Json:
    """Return the subscription as it would be created, for a preview; nothing is stored."""
    at = account.now(customer)
    subscription = _new(account, customer, params, at)
    items.apply(account, subscription, params["items"], at)
    taxes.set_on(account, subscription, params)
    subscription["currency"] = subscription["items"]["data"][0]["price"]["currency"]
    _begin(account, subscription, params, at)
    return subscription


def collect(account: Account, subscription: Json) -> None:
    """Try to pay the first invoice of a subscription in the background."""
    invoice = account.get("invoice", subscription["latest_invoice"])
    if invoice["status"] == "open" and subscription["collection_method"] == "charge_automatically":
        with updating(account, subscription):
            charging.attempt(account, invoice)


def set_end(account: Account, subscription: Json, params: Json, at: int) -> None:
    """Set or unset `cancel_at_period_end` and `cancel_at`."""
    planned: int | None
    if params.get("cancel_at_period_end"):
        planned = lines.period_of(subscription)[1]
    elif params.get("cancel_at") is not None:
        words = ("min_period_end", "max_period_end")
        planned = lines.period_of(subscription)[1] if params["cancel_at"] in words else params["cancel_at"]
    elif params.get("cancel_at_period_end") is False or "cancel_at" in params:
        planned = None
    else:
        return
    if planned is not None and planned <= at:
        raise invalid("The cancel_at timestamp must be in the future.", "cancel_at")
    with_period = bool(params.get("cancel_at_period_end"))
    if (planned, with_period) == (subscription["cancel_at"], subscription["cancel_at_period_end"]):
        return
    subscription.update(
        cancel_at=planned,
        cancel_at_period_end=with_period,
        canceled_at=None if planned is None else at,
        cancellation_details={
            **subscription["cancellation_details"],
            "reason": None if planned is None else "cancellation_requested",
        },
    )
    subscription["_prorate_end"] = params.get("proration_behavior") != "none"


def set_discounts(account: Account, subscription: Json, given: list[Json]) -> None:
    """Redeem coupons and promotion codes for a subscription; an empty list removes its discounts."""
    subscription["discounts"] = discounts.create(
        account, given, "discounts", subscription["customer"], subscription=subscription["id"]
    )


def extra_items(account: Account, subscription: Json, given: list[Json]) -> list[Json]:
    """Return invoice items (not stored yet) of `add_invoice_items`: one-off prices on the next invoice."""
    customer = account.get("customer", subscription["customer"])
    now = account.now(customer)
    found = []
    for index, params in enumerate(given):
        if not params.get("price"):
            raise missing_parameter(f"add_invoice_items[{index}][price]")
        price = account.refer("price", params["price"], f"add_invoice_items[{index}][price]")
        quantity = 1 if params.get("quantity") is None else params["quantity"]
        found.append(
            object_templates.invoice_item(
                account.new_id("ii"),
                customer,
                amount=pricing.round_minor(pricing.total(price, quantity)),
                currency=price["currency"],
                date=now,
                description=lines.product_name(account, price),
                metadata=merge_metadata(None, params.get("metadata")),
                parent={
                    "type": "subscription_details",
                    "subscription_details": {"subscription": subscription["id"]},
                },
                period={"start": now, "end": now},
                pricing=lines.price_details(price, None),
                quantity=quantity,
                tax_rates=tax_rates.resolve(
                    account, params.get("tax_rates"), f"add_invoice_items[{index}][tax_rates]"
                ),
            )
        )
    return found


def emit_short_trial_notice(account: Account, subscription: Json, at: int) -> None:
    """Emit `trial_will_end` immediately for a trial of less than three days."""
    trial_end = subscription["trial_end"]
    if trial_end - TRIAL_NOTICE_SECONDS <= at and subscription.get("_trial_notice") != trial_end:
        cycle.emit_trial_will_end(account, subscription)


def _new(account: Account, customer: Json, params: Json, at: int) -> Json:
    if params.get("collection_method") == "send_invoice" and params.get("days_until_due") is None:
        raise invalid(
            "You must pass `days_until_due` when `collection_method=send_invoice`.", "days_until_due"
        )
    if params.get("default_payment_method"):
        method = account.refer("payment_method", params["default_payment_method"], "default_payment_method")
        if method["customer"] != customer["id"]:
            raise invalid(
                "The customer does not have a payment method with the ID "
                f"{method['id']}. The payment method must be attached to the customer.",
                "default_payment_method",
                "resource_missing",
            )
    given = {
        name: params[name]
        for name in ("collection_method", "days_until_due", "default_payment_method", "description")
        if params.get(name) is not None
    }
    if params.get("trial_settings"):
        given["trial_settings"] = params["trial_settings"]
    return object_templates.subscription(
        account.new_id("sub"),
        created=at,
        customer=customer["id"],
        metadata=merge_metadata(None, params.get("metadata")),
        payment_settings=object_templates.payment_settings(params.get("payment_settings")),
        start_date=params.get("backdate_start_date") or at,
        test_clock=customer.get("test_clock"),
        **given,
    )


def _set_currency(customer: Json, subscription: Json) -> None:
    """Set the customer's currency, which is that of the first bill."""
    currency = subscription["items"]["data"][0]["price"]["currency"]
    if customer["currency"] not in (None, currency):
        raise invalid(
            "You cannot combine currencies on a single customer. This customer has an active subscription,"
            f" subscription schedule, discount, quote, or invoice item with currency {customer['currency']}.",
            "currency",
        )
    customer["currency"] = subscription["currency"] = currency


def _begin(account: Account, subscription: Json, params: Json, at: int) -> None:
    """Set the trial, the anchor and the first period."""
    trial_end = _trial_end(subscription, params, at)
    if trial_end is not None:
        subscription.update(
            status="trialing", trial_start=at, trial_end=trial_end, billing_cycle_anchor=trial_end
        )
        lines.set_period(subscription, at, trial_end)
        return
    subscription.update(status="active", billing_cycle_anchor=_anchor(subscription, params, at))
    lines.set_period(subscription, *changes.next_period(subscription, at))


def _trial_end(subscription: Json, params: Json, at: int) -> int | None:
    given, days = params.get("trial_end"), params.get("trial_period_days")
    if given is not None and days is not None:
        raise invalid(
            "You may only specify one of these parameters: trial_end, trial_period_days.", "trial_end"
        )
    if days is None and params.get("trial_from_plan"):
        days = subscription["items"]["data"][0]["price"]["recurring"]["trial_period_days"]
    if days:
        given = at + days * DAY
    if given in (None, "now") or (days == 0 and given is None):
        return None
    if given <= at:
        raise invalid("The trial end must be in the future.", "trial_end")
    if given > at + MAX_TRIAL_DAYS * DAY:
        raise invalid(f"A trial can be at most {MAX_TRIAL_DAYS} days long.", "trial_end")
    return int(given)


def _anchor(subscription: Json, params: Json, at: int) -> int:
    config = params.get("billing_cycle_anchor_config")
    anchor = params.get("billing_cycle_anchor")
    if config:
        anchor = calendar.anchor_on_day(
            at, config["day_of_month"], config.get("hour"), config.get("minute"), config.get("second")
        )
        subscription["billing_cycle_anchor_config"] = {
            name: config.get(name) for name in ("day_of_month", "hour", "minute", "month", "second")
        }
    if anchor is None:
        return at
    interval, count = changes.cycle_of(subscription)
    if not at <= anchor <= calendar.boundary(at, interval, count, 1):
        raise invalid(
            "billing_cycle_anchor cannot be in the past, or later than the next natural billing date.",
            "billing_cycle_anchor",
        )
    return int(anchor)


def _first_invoice(
    account: Account, customer: Json, subscription: Json, params: Json, extra: list[Json]
) -> Json:
    waiting = [*pending_items.waiting(account, subscription), *extra]
    found = [lines.from_invoice_item(account, entry) for entry in waiting]
    start = lines.period_of(subscription)[0]
    is_stub = subscription["status"] != "trialing" and subscription["billing_cycle_anchor"] > start
    if not (is_stub and params.get("proration_behavior") == "none"):
        found += changes.period_lines(account, subscription)
    return invoicing.compose(
        account, customer, found, reason="subscription_create", subscription=subscription
    )


def _announce(account: Account, subscription: Json, invoice: Json, extra: list[Json]) -> None:
    subscription["latest_invoice"] = invoice["id"]
    account.emit("customer.subscription.created", subscription)
    pending_items.store(account, extra)
    invoicing.issue(account, invoice)


def _collect_first(
    account: Account, subscription: Json, invoice: Json, behavior: str, extra: list[Json]
) -> None:
    """Collect the first invoice.

    Without an amount due the subscription starts at once, otherwise it is incomplete until the invoice is
    paid.
    """
    due = invoice["amount_due"] > 0
    intent = None
    if due and behavior == "error_if_incomplete":
        try:
            intent = charging.charge_first(account, invoice)
        except StripeFault:
            account.remove(subscription)
            raise
    elif due and behavior != "default_incomplete" and charging.payment_method_for(account, invoice) is None:
        raise charging.missing_payment_method()
    if due:
        subscription["status"] = "incomplete"
    _announce(account, subscription, invoice, extra)
    with updating(account, subscription):
        if intent is not None:
            charging.settle_with(account, invoice, intent)
            return
        charging.finalize(account, invoice)
        if invoice["status"] == "open" and behavior != "default_incomplete":
            charging.attempt(account, invoice)
