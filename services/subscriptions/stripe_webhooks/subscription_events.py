"""Applying `customer.subscription.*`: also of subscriptions that were not made by a checkout of ours."""

from dataclasses import replace

from services.subscriptions.customers.stripe_link import new_stripe_subscription
from services.subscriptions.domain.dunning import needs_grace, with_grace
from services.subscriptions.domain.invoices import overdue_since
from services.subscriptions.domain.stripe_event_ordering import (
    Arrived,
    Seen,
    Verdict,
    judge,
    judge_alone,
    rank_of,
    stays_ahead,
)
from services.subscriptions.domain.stripe_mapping import state_of
from services.subscriptions.domain.stripe_objects import StripeEvent, StripeSubscription, read_subscription
from services.subscriptions.domain.subscription_state import State, changes
from services.subscriptions.lifecycle.reminders import announce_trial_end
from services.subscriptions.repository.subscriptions import failures_of, subscription_of_stripe
from services.subscriptions.snapshots import state_of_row
from services.subscriptions.state_changes import change_subscription
from services.subscriptions.stripe_webhooks.context import Application
from services.subscriptions.stripe_webhooks.fetched_objects import UNKNOWN
from services.subscriptions.tables.subscriptions import SubscriptionRow

TRIAL_ENDS_SOON = "customer.subscription.trial_will_end"


async def apply_subscription(application: Application) -> None:
    """Bring our row to what the event, or in doubt Stripe itself, says of the subscription."""
    event, work = application.event, application.work
    theirs = read_subscription(event.object)
    known = await subscription_of_stripe(work.session, theirs.stripe_subscription_id)
    customer = await application.customer(theirs.stripe_customer_id, known)
    # Read again under the customer's lock.
    row = await subscription_of_stripe(work.session, theirs.stripe_subscription_id)
    before = state_of_row(row) if row is not None else None
    told = await _told(application, before, theirs)
    if row is None:
        told = await _with_grace(application, None, theirs, told)
        row = await new_stripe_subscription(work, customer, theirs)
        _remember(row, event, is_ahead=False)
        await change_subscription(work, row, told, is_new=True)
        return
    seen, arrived = _seen(row), _arrived(event, told, state_of_row(row))
    verdict, is_ahead = judge(seen, arrived), stays_ahead(seen, arrived)
    if verdict is Verdict.FETCH:
        answer = application.answers.subscription(theirs.stripe_subscription_id, row.stripe_revision)
        if answer is None:
            verdict = judge_alone(seen, arrived)
        else:
            verdict, is_ahead = Verdict.APPLY, answer != theirs
            theirs, told = answer, await _told(application, before, answer)
    if verdict is Verdict.APPLY:
        told = await _with_grace(application, row, theirs, told)
        _remember(row, event, is_ahead=is_ahead)
        await change_subscription(work, row, told)
        if event.type == TRIAL_ENDS_SOON:
            await announce_trial_end(work, row, event.created)


async def _told(application: Application, before: State | None, theirs: StripeSubscription) -> State:
    """The state that an object tells; what is deleted has ended, whatever else it says."""
    event, state = application.event, state_of(theirs, await application.catalog(), before)
    if event.type == "customer.subscription.deleted" and not state.is_final:
        return replace(state, status="canceled", cancel_at_period_end=False, ended_at=event.created)
    return state


async def _with_grace(
    application: Application, row: SubscriptionRow | None, theirs: StripeSubscription, told: State
) -> State:
    """The state with the grace of who has just become late, counted from the failed payment.

    The event at hand may be an older one, for which a later state was fetched: its time says nothing.
    """
    before = state_of_row(row) if row is not None else None
    if not needs_grace(before, told):
        return told
    failures = await failures_of(application.work.session, row.subscription_id) if row is not None else []
    since = min((at for at, is_owed in failures if is_owed), default=None)
    if since is None and theirs.latest_invoice_id is not None:
        invoice = application.answers.invoice(theirs.latest_invoice_id, UNKNOWN)
        since = overdue_since(invoice) if invoice is not None else None
    days = application.dunning.grace_days
    return with_grace(before, told, since=since or application.event.created, days=days)


def _seen(row: SubscriptionRow) -> Seen:
    return Seen(
        is_final=row.ended_at is not None,
        event_id=row.stripe_event_id,
        event_at=row.stripe_event_at,
        event_rank=row.stripe_event_rank,
        is_ahead=row.stripe_is_ahead,
    )


def _arrived(event: StripeEvent, told: State, present: State) -> Arrived:
    return Arrived(
        event_id=event.event_id,
        event_at=event.created,
        rank=rank_of(event.type),
        is_final=told.is_final,
        is_same=not changes(present, told),
    )


def _remember(row: SubscriptionRow, event: StripeEvent, *, is_ahead: bool) -> None:
    """How far Stripe's events are taken into account now."""
    row.stripe_is_ahead = is_ahead
    row.stripe_revision += 1
    rank = rank_of(event.type)
    if row.stripe_event_at is None or event.created >= row.stripe_event_at:
        is_tie = event.created == row.stripe_event_at
        row.stripe_event_id = event.event_id
        row.stripe_event_at = event.created
        row.stripe_event_rank = max(rank, row.stripe_event_rank) if is_tie else rank
