"""The consumer of Stripe's events: apply each event and report the outcome."""

from collections.abc import Awaitable, Callable

import orjson
from sqlalchemy.dialects.postgresql import insert

from services.subscriptions.domain.stripe_objects import Malformed, StripeEvent, read_event
from services.subscriptions.dunning.grace import Dunning
from services.subscriptions.repository.subscriptions import reserve_stripe_customer
from services.subscriptions.service import service
from services.subscriptions.stripe.client import StripeGateway
from services.subscriptions.stripe_webhooks.checkout_events import apply_checkout
from services.subscriptions.stripe_webhooks.context import EventContext, IrrelevantEvent, UnknownCustomer
from services.subscriptions.stripe_webhooks.customer_events import apply_customer
from services.subscriptions.stripe_webhooks.fetched_objects import FetchedObjects, NeedsStripeObject
from services.subscriptions.stripe_webhooks.invoice_events import apply_invoice
from services.subscriptions.stripe_webhooks.refund_events import (
    apply_credit_note,
    apply_dispute,
    apply_refund,
)
from services.subscriptions.stripe_webhooks.subscription_events import apply_schedule, apply_subscription
from services.subscriptions.tables.subscriptions import ParkedEventRow
from shared.errors import Unavailable
from shared.messaging.redelivery import Incoming, Undeliverable
from shared.persistence.unit_of_work import Transactions, UnitOfWork
from tallystick.messages.webhooks import (
    APPLIED_EVENT_TYPES,
    CONNECT_EVENT_TYPES,
    RecordOutcome,
    StoredEventStatus,
)
from tallystick.subjects import STRIPE_EVENTS_STREAM

FETCHES_MAX = 8
"""Objects fetched for one event: two are common, more mean that the object keeps changing."""

_APPLIERS: dict[str, Callable[[EventContext], Awaitable[None]]] = {
    "customer.subscription": apply_subscription,
    "subscription_schedule": apply_schedule,
    "invoice": apply_invoice,
    "checkout.session": apply_checkout,
    "customer": apply_customer,
    "charge": apply_refund,
    "charge.refund": apply_refund,
    "refund": apply_refund,
    "charge.dispute": apply_dispute,
    "credit_note": apply_credit_note,
}


@service.follow("subscriptions-stripe-events", stream=STRIPE_EVENTS_STREAM, name="apply_stripe_event")
async def apply_stripe_event(
    transactions: Transactions, incoming: Incoming, stripe: StripeGateway, dunning: Dunning
) -> None:
    """Apply the Stripe event in a message and report the outcome; raises the error of a failure.

    Event types that are never applied, and events that happened in a connected account, are skipped without a
    report: they are stored as ignored already, or another service reports them.
    """
    try:
        document = orjson.loads(incoming.body)
        event = read_event(document)
    except ValueError as error:
        raise Undeliverable(f"not an event of Stripe's: {error}") from error
    if event.type not in APPLIED_EVENT_TYPES - CONNECT_EVENT_TYPES or document.get("account"):
        return
    try:
        await _apply(transactions, incoming, event, FetchedObjects(stripe), dunning)
    except Malformed as error:
        await _report_failure(transactions, incoming, event, error)
        raise Undeliverable(str(error)) from error
    except Exception as error:
        await _report_failure(transactions, incoming, event, error)
        raise


async def _apply(
    transactions: Transactions,
    incoming: Incoming,
    event: StripeEvent,
    fetched: FetchedObjects,
    dunning: Dunning,
) -> None:
    apply = _APPLIERS[event.type.rpartition(".")[0]]
    for _ in range(FETCHES_MAX):
        try:
            async with transactions.begin(caused_by=event.event_id, now=incoming.published_at) as work:
                try:
                    await apply(EventContext(work, event, fetched, dunning))
                except UnknownCustomer as unknown:
                    await _park(work, incoming, event, unknown.stripe_customer_id)
                except IrrelevantEvent:
                    _report(work, incoming, event, "ignored")
                else:
                    _report(work, incoming, event, "applied")
                return
        except NeedsStripeObject as needed:
            await fetched.fetch(needed)
    raise Unavailable(f"{event.event_id} is about something that changes all the time")


async def _park(work: UnitOfWork, incoming: Incoming, event: StripeEvent, stripe_customer_id: str) -> None:
    await reserve_stripe_customer(work.session, stripe_customer_id)
    values = {
        "event_id": event.event_id,
        "stripe_customer_id": stripe_customer_id,
        "parked_at": work.now,
    }
    await work.session.execute(insert(ParkedEventRow).values(values).on_conflict_do_nothing())
    _report(work, incoming, event, "received", f"waits for customer {stripe_customer_id}")


async def _report_failure(
    transactions: Transactions, incoming: Incoming, event: StripeEvent, error: Exception
) -> None:
    async with transactions.begin(caused_by=event.event_id, now=incoming.published_at) as work:
        _report(work, incoming, event, "failed", f"{type(error).__name__}: {error}")


def _report(
    work: UnitOfWork,
    incoming: Incoming,
    event: StripeEvent,
    status: StoredEventStatus,
    error: str | None = None,
) -> None:
    work.send(
        RecordOutcome.of_delivery(event.event_id, incoming.published_at, incoming.attempt, status, error)
    )
