"""The only place that writes the state of customers, subscriptions and invoices and emits their events.

The caller has locked the customer's row, so versions are consecutive.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from services.subscriptions.domain.invoices import InvoiceChange
from services.subscriptions.domain.subscription_state import State, changes
from services.subscriptions.snapshots import (
    customer_snapshot,
    invoice_snapshot,
    state_from_row,
    subscription_snapshot,
    write_invoice,
    write_state,
)
from services.subscriptions.tables.subscriptions import CustomerRow, InvoiceRow, SubscriptionRow
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer


def emit_customer(work: UnitOfWork, row: CustomerRow, event: str) -> None:
    """Emit a customer's event with the next version."""
    row.version += 1
    snapshot = customer_snapshot(row)
    # The event's entity is the customer itself, so the snapshot is passed as `customer`.
    work.emit(m.CustomerEvent, event, version=row.version, customer=snapshot)


@dataclass(frozen=True, slots=True)
class SubscriptionChange:
    """A subscription whose row and events were just written."""

    row: SubscriptionRow
    before: State | None
    """None for a new subscription."""
    after: State


Reaction = Callable[[UnitOfWork, SubscriptionChange], Awaitable[None]]
reactions: list[Reaction] = []
"""Run after every change of a subscription, in the same transaction; see `reactions.py`."""


async def change_subscription(
    work: UnitOfWork, row: SubscriptionRow, after: State, *, is_new: bool = False
) -> bool:
    """Write a subscription's new state, emit an event for each step, and run the reactions.

    Returns whether anything changed.
    """
    if not reactions:
        raise RuntimeError(
            "import services.subscriptions.reactions: add-ons and entitlements would be missed"
        )
    before = None if is_new else state_from_row(row)
    steps = changes(before, after)
    for step in steps:
        write_state(row, step.state)
        emit_subscription(work, row, step.event)
    if is_new:
        work.session.add(row)
    if steps:
        await work.session.flush()
        for react in reactions:
            await react(work, SubscriptionChange(row, before, after))
    return bool(steps)


def emit_subscription(work: UnitOfWork, row: SubscriptionRow, event: str) -> None:
    """Emit a subscription's event with the next version and its whole snapshot."""
    row.version += 1
    work.emit(
        m.SubscriptionEvent,
        event,
        customer=Customer.from_token(row.customer),
        version=row.version,
        subscription=subscription_snapshot(row),
    )


def emit_invoice(work: UnitOfWork, row: InvoiceRow, event: str) -> None:
    """Emit an invoice's event with the next version and its whole snapshot."""
    row.version += 1
    work.emit(
        m.InvoiceEvent,
        event,
        customer=Customer.from_token(row.customer),
        version=row.version,
        invoice=invoice_snapshot(row),
    )


def change_invoice(work: UnitOfWork, row: InvoiceRow, steps: list[InvoiceChange]) -> None:
    """Write an invoice's changes one by one, with an event for each."""
    for change in steps:
        write_invoice(row, change.invoice)
        if change.event == "paymentFailed":
            row.told_failures = change.invoice.attempt_count
        emit_invoice(work, row, change.event)
