"""Writing what has changed, together with the events that tell of it: the only place that does so.

The caller has locked the customer's row, so versions follow one another and no subscription is overlooked.
"""

from services.subscriptions.add_ons.end_with_plan import end_without_plan
from services.subscriptions.add_ons.state_changes import follow_subscription
from services.subscriptions.domain.entitlements import seats_give
from services.subscriptions.domain.invoices import InvoiceChange
from services.subscriptions.domain.subscription_state import State, changes
from services.subscriptions.entitlements.refresh import refresh_entitlements
from services.subscriptions.snapshots import (
    customer_snapshot,
    invoice_snapshot,
    put_invoice,
    put_state,
    state_of_row,
    subscription_snapshot,
)
from services.subscriptions.tables.subscriptions import CustomerRow, InvoiceRow, SubscriptionRow
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer


def emit_customer(work: UnitOfWork, row: CustomerRow, event: str) -> None:
    """Count a customer's change and tell it."""
    row.version += 1
    snapshot = customer_snapshot(row)
    # The entity `customer` and whose entity it is are the same here: the snapshot serves as both.
    work.emit(m.CustomerEvent, event, version=row.version, customer=snapshot)


async def change_subscription(
    work: UnitOfWork, row: SubscriptionRow, after: State, *, is_new: bool = False
) -> bool:
    """Lead a subscription to a state, telling each step; its add-on and its customer's entitlements follow.

    Gives whether anything changed.
    """
    before = None if is_new else state_of_row(row)
    told = changes(before, after)
    for change in told:
        put_state(row, change.state)
        emit_subscription(work, row, change.event)
    if is_new:
        work.session.add(row)
    if told:
        await work.session.flush()
        await follow_subscription(work, row, is_new=is_new)
        if after.is_final:
            await end_without_plan(work, row.customer)
        await refresh_entitlements(work, [row.customer])
        if before is not None and seats_give(before) != seats_give(state_of_row(row)):
            # There may be ten thousand of them: not in this transaction.
            work.send(
                m.RefreshSeats(
                    command_id=f"{row.subscription_id}.{row.version}",
                    subscription_id=row.subscription_id,
                    caused_by=work.caused_by,
                )
            )
    return bool(told)


def emit_subscription(work: UnitOfWork, row: SubscriptionRow, event: str) -> None:
    """Count an event of a subscription and tell it with all that the row says."""
    row.version += 1
    work.emit(
        m.SubscriptionEvent,
        event,
        customer=Customer.from_token(row.customer),
        version=row.version,
        subscription=subscription_snapshot(row),
    )


def change_invoice(work: UnitOfWork, row: InvoiceRow, told: list[InvoiceChange]) -> None:
    """Lead an invoice through its changes, telling each."""
    for change in told:
        row.version += 1
        put_invoice(row, change.invoice)
        if change.event == "paymentFailed":
            row.told_failures = change.invoice.attempt_count
        work.emit(
            m.InvoiceEvent,
            change.event,
            customer=Customer.from_token(row.customer),
            version=row.version,
            invoice=invoice_snapshot(row),
        )
