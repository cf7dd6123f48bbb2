"""The consumer of Stripe events about connected accounts: applies each and reports the outcome.

Events come more than once and in any order. An account is therefore asked for as it is now, before the
transaction; `write_stripe_state` ignores an answer that is older than the one stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from services.payouts.accounts.repository import lock_by_stripe_id
from services.payouts.accounts.state_changes import emit_account
from services.payouts.accounts.sync import apply_account
from services.payouts.domain.stripe_account import Malformed, StripeAccount, read_bank_payout
from services.payouts.service import service
from services.payouts.stripe.client import StripeConnect
from services.payouts.transfers.stripe_transfers import apply_transfer
from shared.clock import utc_now
from shared.messaging.redelivery import Incoming, Undeliverable
from shared.persistence.unit_of_work import Transactions, UnitOfWork
from tallystick.messages.webhooks import CONNECT_EVENT_TYPES, RecordOutcome, StoredEventStatus
from tallystick.subjects import STRIPE_EVENTS_STREAM


@dataclass(frozen=True, slots=True)
class ConnectEvent:
    """A Stripe event about a connected account or a transfer."""

    event_id: str
    type: str
    account: str | None
    """Stripe's id of the connected account that the event happened in; None: in the platform's own."""
    object: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What Stripe answered about the event's object, and when it was asked."""

    account: StripeAccount | None
    asked_at: datetime


@service.follow("payouts-stripe-events", stream=STRIPE_EVENTS_STREAM, name="apply_connect_event")
async def apply_connect_event(transactions: Transactions, incoming: Incoming, stripe: StripeConnect) -> None:
    """Apply the Stripe event in a message and report the outcome; raises the error of a failure."""
    event = _read_event(incoming.body)
    if event.type not in CONNECT_EVENT_TYPES:
        return
    try:
        fetched = await _fetch(event, stripe)
        async with transactions.begin(caused_by=event.event_id, now=incoming.published_at) as work:
            applied = await _apply(work, event, fetched)
            _report(work, incoming, event, "applied" if applied else "ignored")
    except Exception as error:
        async with transactions.begin(caused_by=event.event_id, now=incoming.published_at) as work:
            problem = f"{type(error).__name__}: {error}"
            _report(work, incoming, event, "failed", problem)
        if isinstance(error, Malformed):
            raise Undeliverable(str(error)) from error
        raise


async def _fetch(event: ConnectEvent, stripe: StripeConnect) -> Fetched:
    asked_at = utc_now()
    if not event.type.startswith("account.") or event.account is None or not stripe.configured:
        return Fetched(None, asked_at)
    return Fetched(await stripe.find_account(event.account), asked_at)


async def _apply(work: UnitOfWork, event: ConnectEvent, fetched: Fetched) -> bool:
    if event.type.startswith("transfer."):
        return await apply_transfer(work, event.object)
    if event.account is None:
        return False
    if event.type.startswith("account."):
        return await apply_account(work, event.account, fetched.account, fetched.asked_at)
    return await _apply_bank_payout(work, event.account, event.object)


async def _apply_bank_payout(work: UnitOfWork, stripe_account_id: str, body: Mapping[str, Any]) -> bool:
    payout = read_bank_payout(body)
    row = await lock_by_stripe_id(work.session, stripe_account_id)
    if row is None:
        return False
    if row.bank_payout_key is None or row.bank_payout_key < payout.key:
        row.bank_payout_key = payout.key
        row.last_bank_payout = {
            "status": payout.status,
            "amount": {"amount": payout.amount, "currency": payout.currency},
            "arrival_at": payout.arrival_at.isoformat() if payout.arrival_at else None,
            "failure_message": payout.failure_message,
        }
        emit_account(work, row, "updated")
    return True


def _read_event(body: bytes) -> ConnectEvent:
    try:
        document = orjson.loads(body)
        account = document.get("account")
        return ConnectEvent(
            event_id=str(document["id"]),
            type=str(document["type"]),
            account=account if isinstance(account, str) else None,
            object=document["data"]["object"],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Undeliverable(f"not an event of Stripe's: {error}") from error


def _report(
    work: UnitOfWork,
    incoming: Incoming,
    event: ConnectEvent,
    status: StoredEventStatus,
    error: str | None = None,
) -> None:
    work.send(
        RecordOutcome.of_delivery(event.event_id, incoming.published_at, incoming.attempt, status, error)
    )
