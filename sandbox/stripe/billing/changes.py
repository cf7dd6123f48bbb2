"""Planning of subscription changes on a copy: the new items and period, and the amounts to bill.

Previews and updates use the same plan, so that they always agree.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from fractions import Fraction

from sandbox.stripe import meters
from sandbox.stripe.account import Account, Json
from sandbox.stripe.billing import calendar, items, lines, pricing, proration
from sandbox.stripe.faults import invalid


@dataclass
class Change:
    """Planned change: the subscription afterwards, and what is billed for it."""

    after: Json
    entries: list[Json] = field(default_factory=list)
    """Invoice items for its prorations, not stored yet."""
    lines: list[Json] = field(default_factory=list)
    """Lines of the new period, if one begins."""
    usage: list[Json] = field(default_factory=list)
    """Metered usage until now, if a new period begins."""
    restarts: bool = False
    """A new billing period begins immediately, and is invoiced immediately."""


def plan(account: Account, subscription: Json, params: Json, at: int) -> Change:
    """Plan a change of items, trial or cycle without making it. Raises a fault for an invalid change."""
    after = copy.deepcopy(subscription)
    if params.get("items"):
        items.apply(account, after, params["items"], at)
    change = Change(after)
    was_trial = subscription["status"] == "trialing"
    trial_end = params.get("trial_end")
    moment = _proration_moment(subscription, params, at)
    behavior = params.get("proration_behavior") or "create_prorations"
    if isinstance(trial_end, int):
        _start_trial(after, trial_end, at, was_trial)
        change.restarts = not was_trial
    elif trial_end == "now" and was_trial:
        _restart(after, at)
        after.update(trial_end=at, status="active")
        change.restarts = True
    elif not was_trial and _must_restart(subscription, after, params):
        _restart(after, at)
        change.restarts = True
    if not was_trial and behavior != "none" and subscription["status"] != "paused":
        prorations = _prorations(subscription, after, change.restarts, moment)
        customer = account.get("customer", subscription["customer"])
        change.entries = [
            lines.proration_entry(account, customer, subscription, each, at)
            for each in prorations
            if each.amount
        ]
    if change.restarts:
        change.usage = (
            [] if was_trial else usage_lines(account, subscription, lines.period_of(subscription)[0], at)
        )
        change.lines = period_lines(account, after)
    return change


def bills_now(change: Change, params: Json) -> bool:
    """Return whether the change creates an invoice of its own."""
    return change.restarts or (params.get("proration_behavior") == "always_invoice" and bool(change.entries))


def next_period(subscription: Json, start: int) -> tuple[int, int]:
    """Return the period that begins at `start`.

    It ends at the next cycle boundary or at `cancel_at`.
    """
    recurring = subscription["items"]["data"][0]["price"]["recurring"]
    end = calendar.next_boundary(
        subscription["billing_cycle_anchor"], recurring["interval"], recurring["interval_count"], start
    )
    cancel_at = subscription["cancel_at"]
    return start, min(end, cancel_at) if cancel_at is not None and cancel_at > start else end


def period_lines(account: Account, subscription: Json) -> list[Json]:
    """Return the lines of the current period, paid in advance.

    These are the licensed items, or the free lines of a trial.
    """
    period = lines.period_of(subscription)
    found: list[Json] = []
    for item, billed in zip(subscription["items"]["data"], lines.billed_items(subscription), strict=True):
        if subscription["status"] == "trialing":
            found.append(lines.for_trial(account, subscription, item, period))
        elif pricing.is_metered(item["price"]):
            continue
        elif proration.share(billed, period[0]) == 1:
            found += lines.for_period(account, subscription, item, Fraction(item["quantity"]), period)
        else:
            customer = account.get("customer", subscription["customer"])
            part = proration.remaining_time(billed, period[0])
            entry = lines.proration_entry(account, customer, subscription, part, period[0])
            line = lines.from_invoice_item(account, entry)
            line["parent"]["subscription_item_details"]["invoice_item"] = None
            found.append(line)
    return found


def usage_lines(account: Account, subscription: Json, start: int, end: int) -> list[Json]:
    """Return the lines for metered usage in a past period."""
    found: list[Json] = []
    for item in subscription["items"]["data"]:
        if pricing.is_metered(item["price"]):
            meter_id = item["price"]["recurring"]["meter"]
            used = meters.usage(account, meter_id, subscription["customer"], start, end)
            found += lines.for_period(account, subscription, item, used, (start, end))
    return found


def cycle_of(subscription: Json) -> tuple[str, int]:
    """Return the interval and interval count of a subscription's prices."""
    recurring = subscription["items"]["data"][0]["price"]["recurring"]
    return recurring["interval"], recurring["interval_count"]


def _prorations(before: Json, after: Json, restarts: bool, moment: int) -> list[proration.Proration]:
    old = lines.billed_items(before)
    if restarts:
        return [proration.unused_time(item, moment) for item in old if not pricing.is_metered(item.price)]
    return proration.between(old, lines.billed_items(after), moment)


def _proration_moment(subscription: Json, params: Json, at: int) -> int:
    moment = params.get("proration_date")
    if moment is None:
        return at
    start, end = lines.period_of(subscription)
    if not start <= moment <= end:
        raise invalid(
            "Cannot specify `proration_date` outside of the subscription's current period.", "proration_date"
        )
    return int(moment)


def _must_restart(before: Json, after: Json, params: Json) -> bool:
    """Return whether the billing period restarts: new anchor, other interval, or free to paid."""
    if params.get("billing_cycle_anchor") == "now" or cycle_of(before) != cycle_of(after):
        return True
    return bool(params.get("items")) and _is_free(before) and not _is_free(after)


def _is_free(subscription: Json) -> bool:
    return all(
        pricing.total(item["price"], item.get("quantity", 1)) == 0 for item in subscription["items"]["data"]
    )


def _restart(after: Json, at: int) -> None:
    after["billing_cycle_anchor"] = at
    lines.set_period(after, *next_period(after, at))


def _start_trial(after: Json, trial_end: int, at: int, was_trial: bool) -> None:
    if trial_end <= at:
        raise invalid("The trial end must be in the future.", "trial_end")
    start = lines.period_of(after)[0] if was_trial else at
    after.update(
        status="trialing",
        trial_start=after["trial_start"] if was_trial else at,
        trial_end=trial_end,
        billing_cycle_anchor=trial_end,
    )
    lines.set_period(after, start, trial_end)
