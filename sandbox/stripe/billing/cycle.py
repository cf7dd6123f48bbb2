"""Time-based steps of subscriptions and invoices: trial end, renewal, phases, notices, cancellation.

Each object reports only its next step and its time, so that all steps run in chronological order.
"""

from __future__ import annotations

from sandbox.stripe.account import Account, Action, Json
from sandbox.stripe.billing import (
    changes,
    charging,
    invoicing,
    lines,
    pending,
    pending_items,
    phases,
    subscription_status,
)
from sandbox.stripe.billing.settings import (
    DRAFT_SECONDS,
    INCOMPLETE_SECONDS,
    OVERDUE_END_SECONDS,
    TRIAL_NOTICE_SECONDS,
    UPCOMING_SECONDS,
)
from sandbox.stripe.billing.updates import updating


def next_step(account: Account, subscription: Json) -> tuple[int, Action] | None:
    """Return the next due step of a subscription with its time."""
    steps = _steps(account, subscription)
    return min(steps, key=lambda step: step[0]) if steps else None


def _steps(account: Account, subscription: Json) -> list[tuple[int, Action]]:
    status = subscription["status"]
    start, end = lines.period_of(subscription)
    if status in subscription_status.ENDED:
        return []
    if status == "incomplete":
        return [
            (
                subscription["created"] + INCOMPLETE_SECONDS,
                lambda: subscription_status.expire(account, subscription),
            )
        ]
    steps: list[tuple[int, Action]] = []
    if subscription["pending_update"]:
        steps.append(
            (subscription["pending_update"]["expires_at"], lambda: pending.expire(account, subscription))
        )
    if subscription["cancel_at"] is not None and subscription["cancel_at"] <= end:
        steps.append((subscription["cancel_at"], lambda: end_as_planned(account, subscription)))
    if status == "paused":
        return steps
    boundary = phases.next_boundary(account, subscription)
    if boundary is not None and boundary < end:
        steps.append((boundary, lambda: phases.enter_next(account, subscription, boundary)))
    steps.append((end, lambda: renew(account, subscription, end)))
    steps += _notices(account, subscription, start, end)
    pause = subscription["pause_collection"]
    if pause and pause["resumes_at"]:
        steps.append((pause["resumes_at"], lambda: _resume_collection(account, subscription)))
    return steps


def _notices(account: Account, subscription: Json, start: int, end: int) -> list[tuple[int, Action]]:
    """Return the notices due: three days before a trial ends, seven before an invoice, once each."""
    found: list[tuple[int, Action]] = []
    if (
        subscription["status"] == "trialing"
        and subscription.get("_trial_notice") != subscription["trial_end"]
    ):
        at = max(subscription["trial_end"] - TRIAL_NOTICE_SECONDS, start)
        found.append((at, lambda: emit_trial_will_end(account, subscription)))
    renews = subscription["cancel_at"] is None or subscription["cancel_at"] > end
    if renews and end - start > UPCOMING_SECONDS and subscription.get("_upcoming_notice") != end:
        found.append((end - UPCOMING_SECONDS, lambda: _emit_upcoming(account, subscription, end)))
    return found


def emit_trial_will_end(account: Account, subscription: Json) -> None:
    """Emit `customer.subscription.trial_will_end`, once per trial end."""
    subscription["_trial_notice"] = subscription["trial_end"]
    account.emit("customer.subscription.trial_will_end", subscription)


def renew(account: Account, subscription: Json, at: int) -> None:
    """Begin and invoice the next period, at the end of a period or trial."""
    with updating(account, subscription):
        old_start = lines.period_of(subscription)[0]
        usage = changes.usage_lines(account, subscription, old_start, at)
        if subscription["status"] == "trialing":
            if _end_trial_without_payment_method(account, subscription, at):
                return
            subscription["status"] = "active"
            usage = []
        phases.enter_if_due(account, subscription, at)
        if subscription["status"] in subscription_status.ENDED:
            return
        lines.set_period(subscription, *changes.next_period(subscription, at))
        _invoice_period(account, subscription, usage, (old_start, at))


def upcoming(account: Account, subscription: Json, extra: list[Json]) -> list[Json]:
    """Return the lines of the next renewal invoice.

    These are pending items, `extra` items of a change, usage so far and the next period.
    """
    start, end = lines.period_of(subscription)
    found = [
        lines.from_invoice_item(account, entry) for entry in pending_items.waiting(account, subscription)
    ] + extra
    if subscription["status"] != "trialing":
        found += changes.usage_lines(account, subscription, start, end)
    if subscription["cancel_at"] is None or subscription["cancel_at"] > end:
        following = phases.preview_at(account, subscription, end)
        following["status"] = "active"
        lines.set_period(following, *changes.next_period(following, end))
        found += changes.period_lines(account, following)
    return found


def end_as_planned(account: Account, subscription: Json) -> None:
    """Cancel a subscription at `cancel_at` or at the period's end.

    Pending items are invoiced first.
    """
    with updating(account, subscription):
        at = subscription["cancel_at"]
        if at < lines.period_of(subscription)[1] and subscription.get("_prorate_end"):
            pending_items.credit_unused(account, subscription, at)
        last_invoice(account, subscription, usage_so_far(account, subscription, at))
        subscription_status.end(account, subscription, at, reason="cancellation_requested")


def last_invoice(
    account: Account, subscription: Json, usage: list[Json], *, now: bool = False
) -> Json | None:
    """Invoice the pending prorations and usage when a subscription ends.

    Returns None if there are none.
    """
    found = [
        lines.from_invoice_item(account, entry) for entry in pending_items.waiting(account, subscription)
    ] + usage
    if not found:
        return None
    customer = account.get("customer", subscription["customer"])
    invoice = invoicing.compose(
        account, customer, found, reason="subscription_cycle", subscription=subscription
    )
    invoicing.issue(account, invoice)
    charging.finalize(account, invoice)
    if invoice["status"] == "open" and invoice["collection_method"] == "charge_automatically":
        charging.attempt(account, invoice)
    return invoice


def usage_so_far(account: Account, subscription: Json, at: int) -> list[Json]:
    """Return the lines for metered usage in the current period."""
    if subscription["status"] == "trialing":
        return []
    return changes.usage_lines(account, subscription, lines.period_of(subscription)[0], at)


def _invoice_period(account: Account, subscription: Json, usage: list[Json], over: tuple[int, int]) -> None:
    found = [
        lines.from_invoice_item(account, entry) for entry in pending_items.waiting(account, subscription)
    ]
    found += usage + changes.period_lines(account, subscription)
    customer = account.get("customer", subscription["customer"])
    invoice = invoicing.compose(
        account,
        customer,
        found,
        reason="subscription_cycle",
        subscription=subscription,
        period_start=over[0],
        period_end=over[1],
    )
    pause = subscription["pause_collection"]
    held = subscription["status"] == "unpaid" or (pause is not None and pause["behavior"] == "keep_as_draft")
    invoice["_pause"] = pause and pause["behavior"]
    invoicing.issue(account, invoice, advance=not held)


def _end_trial_without_payment_method(account: Account, subscription: Json, at: int) -> bool:
    """Apply `trial_settings` if there is no payment method; return True if the subscription stops."""
    behavior = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
    automatic = subscription["collection_method"] == "charge_automatically"
    if not automatic or behavior == "create_invoice" or charging.has_payment_method(account, subscription):
        return False
    if behavior == "cancel":
        subscription_status.end(account, subscription, at, reason="cancellation_requested")
    else:
        paused = {"subscription": {"type": "trial_end_without_payment_method"}, "type": "subscription"}
        subscription.update(status="paused", status_details={"paused": {**paused, "transitioned_at": at}})
        account.emit("customer.subscription.paused", subscription)
    return True


def _emit_upcoming(account: Account, subscription: Json, end: int) -> None:
    subscription["_upcoming_notice"] = end
    customer = account.get("customer", subscription["customer"])
    invoice = invoicing.compose(
        account,
        customer,
        upcoming(account, subscription, []),
        reason="upcoming",
        subscription=subscription,
        next_payment_attempt=end + DRAFT_SECONDS,
    )
    # There is no invoice yet, so the event has a preview id, which cannot be retrieved.
    preview_id = f"upcoming_in_{invoice['id'].removeprefix('in_')}"
    account.emit("invoice.upcoming", {**invoice, "id": preview_id})


def _resume_collection(account: Account, subscription: Json) -> None:
    with updating(account, subscription):
        subscription["pause_collection"] = None


# -- invoices ---------------------------------------------------------------------------------------------


def next_invoice_step(account: Account, invoice: Json) -> tuple[int, Action] | None:
    """Return the next due step of an invoice with its time."""
    if invoice["status"] == "draft":
        at = invoice["automatically_finalizes_at"]
        return (
            (at, lambda: finalize_automatically(account, invoice)) if invoice["auto_advance"] and at else None
        )
    if invoice["status"] != "open":
        return None
    if invoice["next_payment_attempt"] is not None:
        return invoice["next_payment_attempt"], lambda: charging.attempt(account, invoice, retry=True)
    if invoice["collection_method"] == "send_invoice" and invoice["due_date"] is not None:
        return _overdue_step(account, invoice)
    return None


def finalize_automatically(account: Account, invoice: Json) -> None:
    """Finalize a draft after an hour, then charge or send it unless collection is paused."""
    charging.finalize(account, invoice)
    if invoice["status"] != "open":
        return
    if invoice.get("_pause") == "void":
        invoicing.void(account, invoice)
    elif invoice.get("_pause") == "mark_uncollectible":
        invoicing.mark_uncollectible(account, invoice)
    elif invoice["collection_method"] == "send_invoice":
        account.emit("invoice.sent", invoice)
    else:
        charging.attempt(account, invoice)


def _overdue_step(account: Account, invoice: Json) -> tuple[int, Action] | None:
    overdue_notice = invoice.get("_overdue")
    if overdue_notice is None:
        return invoice["due_date"], lambda: _overdue(account, invoice)
    if overdue_notice == "first":
        return invoice["due_date"] + OVERDUE_END_SECONDS, lambda: _overdue_for_good(account, invoice)
    return None


def _overdue(account: Account, invoice: Json) -> None:
    invoice["_overdue"] = "first"
    account.emit("invoice.overdue", invoice)


def _overdue_for_good(account: Account, invoice: Json) -> None:
    invoice["_overdue"] = "last"
    subscription = account.peek("subscription", invoicing.subscription_of(invoice))
    if subscription is not None and subscription["status"] == "past_due":
        subscription = account.get("subscription", subscription["id"])
        with updating(account, subscription):
            subscription_status.give_up(account, subscription, invoice)
