"""Phases of a subscription schedule, applied to its subscription.

A phase that begins at a renewal is not prorated; one that begins within a period is.
"""

from __future__ import annotations

import copy

from sandbox.stripe.account import Account, Json
from sandbox.stripe.billing import changes, execution, items, subscription_status
from sandbox.stripe.billing.updates import updating
from sandbox.stripe.parameters import merge_metadata


def schedule_of(account: Account, subscription: Json) -> Json | None:
    """Return the schedule that currently controls a subscription."""
    if subscription["schedule"] is None:
        return None
    schedule = account.get("subscription_schedule", subscription["schedule"])
    return schedule if schedule["status"] == "active" else None


def next_boundary(account: Account, subscription: Json) -> int | None:
    """Return the end of the current phase."""
    schedule = schedule_of(account, subscription)
    return int(schedule["current_phase"]["end_date"]) if schedule is not None else None


def enter_if_due(account: Account, subscription: Json, at: int) -> None:
    """Switch to the phase that begins at a renewal, before the new period is billed."""
    boundary = next_boundary(account, subscription)
    if boundary is None or boundary > at:
        return
    phase = _step(account, subscription, at)
    if phase is not None:
        _switch(account, subscription, phase, at)


def enter_next(account: Account, subscription: Json, at: int) -> None:
    """Switch to the next phase within a period, like an update with the phase's proration."""
    with updating(account, subscription):
        phase = _step(account, subscription, at)
        if phase is None:
            return
        params = {
            "items": item_params(subscription, phase),
            "proration_behavior": phase["proration_behavior"],
        }
        _take_taxes(account, subscription, phase)
        execution.execute(account, subscription, params, at)
        _take_settings(subscription, phase)


def preview_at(account: Account, subscription: Json, at: int) -> Json:
    """Return a copy of the subscription as its schedule will change it at a renewal."""
    following = copy.deepcopy(subscription)
    schedule = schedule_of(account, subscription)
    if schedule is not None and schedule["current_phase"]["end_date"] <= at:
        later = [
            phase
            for phase in schedule["phases"]
            if phase["start_date"] >= schedule["current_phase"]["end_date"]
        ]
        if later:
            _switch(account, following, later[0], at)
    return following


def item_params(subscription: Json, phase: Json) -> list[Json]:
    """Return the `items` parameters for a phase; items with the same price are kept."""
    left = list(subscription["items"]["data"])
    found: list[Json] = []
    unmatched: list[Json] = []
    for wanted in phase["items"]:
        same = next((item for item in left if item["price"]["id"] == wanted["price"]), None)
        if same is None:
            unmatched.append(wanted)
            continue
        left.remove(same)
        found.append({"id": same["id"], **_given(wanted)})
    for wanted in unmatched:
        reused = {"id": left.pop(0)["id"]} if left else {}
        found.append({**reused, "price": wanted["price"], **_given(wanted)})
    return found + [{"id": item["id"], "deleted": True} for item in left]


def release(account: Account, schedule: Json, at: int) -> None:
    """Release the subscription from its schedule without changing it."""
    subscription = account.get("subscription", schedule["subscription"])
    with updating(account, subscription):
        subscription["schedule"] = None
    schedule.update(
        status="released",
        released_at=at,
        released_subscription=schedule["subscription"],
        subscription=None,
        current_phase=None,
    )
    account.emit("subscription_schedule.released", schedule)


def _step(account: Account, subscription: Json, at: int) -> Json | None:
    """Move the schedule to its next phase and return it.

    After the last phase the subscription is released or canceled.
    """
    schedule = schedule_of(account, subscription)
    assert schedule is not None
    ended = schedule["current_phase"]["end_date"]
    later = [phase for phase in schedule["phases"] if phase["start_date"] >= ended]
    if later:
        phase: Json = later[0]
        current = {"start_date": phase["start_date"], "end_date": phase["end_date"]}
        account.change(schedule, "subscription_schedule.updated", current_phase=current)
        return phase
    if schedule["end_behavior"] == "cancel":
        schedule.update(status="completed", completed_at=at, current_phase=None)
        account.emit("subscription_schedule.completed", schedule)
        subscription_status.end(account, subscription, at, reason="cancellation_requested")
    else:
        release(account, schedule, at)
    return None


def _switch(account: Account, subscription: Json, phase: Json, at: int) -> None:
    before = changes.cycle_of(subscription)
    _take_taxes(account, subscription, phase)
    items.apply(account, subscription, item_params(subscription, phase), at)
    _take_settings(subscription, phase)
    if changes.cycle_of(subscription) != before or phase["billing_cycle_anchor"] == "phase_start":
        subscription["billing_cycle_anchor"] = at


def _take_settings(subscription: Json, phase: Json) -> None:
    """Apply the settings of a phase other than its items."""
    subscription["metadata"] = merge_metadata(subscription["metadata"], phase["metadata"] or {})
    for name in ("collection_method", "default_payment_method", "description"):
        if phase[name] is not None:
            subscription[name] = phase[name]
    days = (phase["invoice_settings"] or {}).get("days_until_due")
    if days is not None:
        subscription["days_until_due"] = days


def _take_taxes(account: Account, subscription: Json, phase: Json) -> None:
    """Apply how a phase is taxed; without a setting of its own, as the schedule's default says."""
    schedule = schedule_of(account, subscription)
    default = schedule["default_settings"]["automatic_tax"] if schedule is not None else None
    tax = phase["automatic_tax"] or default
    if tax is not None:
        subscription["automatic_tax"] = dict(tax)
    subscription["default_tax_rates"] = list(phase["default_tax_rates"])


def _given(wanted: Json) -> Json:
    # As in Stripe, an item of a phase without tax rates loses those that it had.
    params: Json = {"tax_rates": [rate["id"] for rate in wanted["tax_rates"]]}
    if wanted["metadata"]:
        params["metadata"] = wanted["metadata"]
    if wanted.get("quantity") is not None:
        params["quantity"] = wanted["quantity"]
    return params
