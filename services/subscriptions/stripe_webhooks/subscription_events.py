"""Applying `customer.subscription.*`, also to subscriptions that were not created by our checkout."""

from dataclasses import replace

from services.subscriptions.customers.stripe_link import new_stripe_subscription
from services.subscriptions.domain.dunning import needs_grace, with_grace
from services.subscriptions.domain.invoices import overdue_since
from services.subscriptions.domain.stripe_event_ordering import (
    AppliedState,
    ArrivedEvent,
    EventAction,
    choose_action,
    choose_action_without_stripe,
    rank_of,
    remains_ahead,
)
from services.subscriptions.domain.stripe_mapping import state_from_stripe
from services.subscriptions.domain.stripe_objects import (
    StripeEvent,
    StripeSubscription,
    read_subscription,
    reference_id,
)
from services.subscriptions.domain.subscription_state import State, changes
from services.subscriptions.lifecycle.reminders import emit_trial_ending
from services.subscriptions.repository.subscriptions import (
    invoice_failures,
    lock_customer,
    subscription_by_stripe_id,
)
from services.subscriptions.snapshots import state_from_row
from services.subscriptions.state_changes import change_subscription
from services.subscriptions.stripe_webhooks.context import EventContext, IrrelevantEvent
from services.subscriptions.stripe_webhooks.fetched_objects import NO_REVISION
from services.subscriptions.stripe_webhooks.new_payment_method import pay_open_invoices
from services.subscriptions.tables.subscriptions import SubscriptionRow

TRIAL_ENDS_SOON = "customer.subscription.trial_will_end"


async def apply_subscription(context: EventContext) -> None:
    """Update our row from the event or, if the order is unclear, from the fetched subscription."""
    event, work = context.event, context.work
    subscription = read_subscription(event.object)
    known = await subscription_by_stripe_id(work.session, subscription.stripe_subscription_id)
    customer = await context.customer(subscription.stripe_customer_id, known)
    # Read again under the customer's lock.
    row = await subscription_by_stripe_id(work.session, subscription.stripe_subscription_id)
    if "default_payment_method" in event.previous:
        pay_open_invoices(context, customer.customer)
    before = state_from_row(row) if row is not None else None
    state = await _state_after(context, before, subscription)
    if row is None:
        if subscription.schedule_id is not None:
            # The schedule's own events came before the subscription was known.
            subscription = (
                context.fetched.subscription(subscription.stripe_subscription_id, NO_REVISION) or subscription
            )
            state = await _state_after(context, None, subscription)
        state = await _with_grace(context, None, subscription, state)
        row = await new_stripe_subscription(work, customer, subscription)
        _record_event(row, event, is_outbox_ahead=False)
        await change_subscription(work, row, state, is_new=True)
        return
    applied, arrived = _applied_state(row), _arrived_event(event, state, state_from_row(row))
    verdict, is_outbox_ahead = choose_action(applied, arrived), remains_ahead(applied, arrived)
    if verdict is EventAction.FETCH:
        answer = context.fetched.subscription(subscription.stripe_subscription_id, row.stripe_revision)
        if answer is None:
            verdict = choose_action_without_stripe(applied, arrived)
        else:
            verdict, is_outbox_ahead = EventAction.APPLY, answer != subscription
            subscription, state = answer, await _state_after(context, before, answer)
    if verdict is EventAction.APPLY:
        state = await _with_grace(context, row, subscription, state)
        _record_event(row, event, is_outbox_ahead=is_outbox_ahead)
        await change_subscription(work, row, state)
        if event.type == TRIAL_ENDS_SOON:
            await emit_trial_ending(work, row, event.created)


async def apply_schedule(context: EventContext) -> None:
    """Update our row from the subscription of a schedule as Stripe has it now.

    A schedule says nothing about whether its phases have been applied, so the event itself is not used.
    """
    schedule, work = context.event.object, context.work
    stripe_id = reference_id(schedule.get("subscription")) or reference_id(
        schedule.get("released_subscription")
    )
    known = await subscription_by_stripe_id(work.session, stripe_id) if stripe_id is not None else None
    if stripe_id is None or known is None:
        raise IrrelevantEvent
    await lock_customer(work.session, known.customer)
    row = await subscription_by_stripe_id(work.session, stripe_id)
    answer = context.fetched.subscription(stripe_id, row.stripe_revision) if row is not None else None
    if row is None or answer is None or row.ended_at is not None:
        raise IrrelevantEvent
    before = state_from_row(row)
    state = await _with_grace(
        context, row, answer, state_from_stripe(answer, await context.catalog(), before)
    )
    if changes(before, state):
        row.stripe_is_ahead = True
        row.stripe_revision += 1
        await change_subscription(work, row, state)


async def _state_after(
    context: EventContext, before: State | None, subscription: StripeSubscription
) -> State:
    """Return the state in an object; after `deleted` it is final, whatever the object says."""
    event, state = context.event, state_from_stripe(subscription, await context.catalog(), before)
    if event.type == "customer.subscription.deleted" and not state.is_final:
        return replace(
            state, status="canceled", cancel_at_period_end=False, cancel_at=None, ended_at=event.created
        )
    return state


async def _with_grace(
    context: EventContext, row: SubscriptionRow | None, subscription: StripeSubscription, state: State
) -> State:
    """Add a grace period to a state that has just become past due, counted from the failed payment.

    The event may be older than the fetched state, so its time is used only as a last resort.
    """
    before = state_from_row(row) if row is not None else None
    if not needs_grace(before, state):
        return state
    failures = await invoice_failures(context.work.session, row.subscription_id) if row is not None else []
    since = min((at for at, is_owed in failures if is_owed), default=None)
    if since is None and subscription.latest_invoice_id is not None:
        invoice = context.fetched.invoice(subscription.latest_invoice_id, NO_REVISION)
        since = overdue_since(invoice) if invoice is not None else None
    days = context.dunning.grace_days
    return with_grace(before, state, since=since or context.event.created, days=days)


def _applied_state(row: SubscriptionRow) -> AppliedState:
    return AppliedState(
        is_final=row.ended_at is not None,
        event_id=row.stripe_event_id,
        event_at=row.stripe_event_at,
        event_rank=row.stripe_event_rank,
        is_outbox_ahead=row.stripe_is_ahead,
    )


def _arrived_event(event: StripeEvent, state: State, present: State) -> ArrivedEvent:
    return ArrivedEvent(
        event_id=event.event_id,
        event_at=event.created,
        rank=rank_of(event.type),
        is_final=state.is_final,
        is_same=not changes(present, state),
    )


def _record_event(row: SubscriptionRow, event: StripeEvent, *, is_outbox_ahead: bool) -> None:
    """Record the newest applied Stripe event in the row."""
    row.stripe_is_ahead = is_outbox_ahead
    row.stripe_revision += 1
    rank = rank_of(event.type)
    if row.stripe_event_at is None or event.created >= row.stripe_event_at:
        is_tie = event.created == row.stripe_event_at
        row.stripe_event_id = event.event_id
        row.stripe_event_at = event.created
        row.stripe_event_rank = max(rank, row.stripe_event_rank) if is_tie else rank
