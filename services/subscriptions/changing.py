"""Writing what has changed, together with the events that tell of it: the only place that does so.

The caller has locked the customer's row, so versions follow one another and no subscription is overlooked.
"""

from services.subscriptions.add_ons.following import follow_subscription
from services.subscriptions.domain.entitlements import NOTHING, entitlements_of
from services.subscriptions.domain.invoices import InvoiceChange
from services.subscriptions.domain.subscription import State, changes
from services.subscriptions.overrides.store import overrides_in_force
from services.subscriptions.snapshots import (
    allowance_of_row,
    customer_snapshot,
    entitlement_snapshot,
    invoice_snapshot,
    put_invoice,
    put_state,
    state_of_row,
    subscription_snapshot,
)
from services.subscriptions.store import entitlement_rows, live_subscriptions
from services.subscriptions.tables import CustomerRow, EntitlementRow, InvoiceRow, SubscriptionRow
from shared.work import Work
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer
from tallystick.subjects import ENTITLEMENTS_BUCKET, entitlement_key


def tell_customer(work: Work, row: CustomerRow, event: str) -> None:
    """Count a customer's change and tell it."""
    row.version += 1
    snapshot = customer_snapshot(row)
    # The entity `customer` and whose entity it is are the same here: the snapshot serves as both.
    work.tell(m.CustomerEvent, event, version=row.version, customer=snapshot)


async def change_subscription(
    work: Work, row: SubscriptionRow, after: State, *, is_new: bool = False
) -> bool:
    """Lead a subscription to a state, telling each step; its add-on and its customer's entitlements follow.

    Gives whether anything changed.
    """
    told = changes(None if is_new else state_of_row(row), after)
    for change in told:
        put_state(row, change.state)
        tell_subscription(work, row, change.event)
    if is_new:
        work.session.add(row)
    if told:
        await work.session.flush()
        await follow_subscription(work, row)
        await refresh_entitlements(work, row.customer)
    return bool(told)


def tell_subscription(work: Work, row: SubscriptionRow, event: str) -> None:
    """Count an event of a subscription and tell it with all that the row says."""
    row.version += 1
    work.tell(
        m.SubscriptionEvent,
        event,
        customer=Customer.from_token(row.customer),
        version=row.version,
        subscription=subscription_snapshot(row),
    )


async def refresh_entitlements(work: Work, token: str) -> None:
    """Compute what a customer may use; tell and put in the bucket what differs."""
    rows = await entitlement_rows(work.session, token)
    live = await live_subscriptions(work.session, token)
    exceptions = await overrides_in_force(work.session, token)
    wanted = entitlements_of({row.subscription_id: state_of_row(row) for row in live}, exceptions)
    for feature in sorted(rows.keys() | wanted.keys()):
        row, allowance = rows.get(feature), wanted.get(feature)
        if row is None:
            row = EntitlementRow(customer=token, feature=feature, version=0, granted=False)
            _put_allowance(row, NOTHING)
            work.session.add(row)
        if row.granted == (allowance is not None) and allowance_of_row(row) == (allowance or NOTHING):
            continue
        row.granted = allowance is not None
        _put_allowance(row, allowance or NOTHING)
        _tell_entitlement(work, row)


def change_invoice(work: Work, row: InvoiceRow, told: list[InvoiceChange]) -> None:
    """Lead an invoice through its changes, telling each."""
    for change in told:
        row.version += 1
        put_invoice(row, change.invoice)
        if change.event == "paymentFailed":
            row.told_failures = change.invoice.attempt_count
        work.tell(
            m.InvoiceEvent,
            change.event,
            customer=Customer.from_token(row.customer),
            version=row.version,
            invoice=invoice_snapshot(row),
        )


def _put_allowance(row: EntitlementRow, allowance: m.Allowance) -> None:
    row.allowed = allowance.allowed
    row.quantity = allowance.quantity
    row.sources = [source.model_dump(mode="json") for source in allowance.sources]
    row.expires_at = allowance.expires_at


def _tell_entitlement(work: Work, row: EntitlementRow) -> None:
    row.version += 1
    snapshot = entitlement_snapshot(row)
    work.tell(
        m.EntitlementEvent,
        "changed",
        customer=snapshot.customer,
        version=row.version,
        entitlement=snapshot,
    )
    key = entitlement_key(row.customer, row.feature)
    if row.granted:
        entry = m.BucketEntry(version=row.version, **dict(allowance_of_row(row)))
        work.put(ENTITLEMENTS_BUCKET, key, entry)
    else:
        work.delete(ENTITLEMENTS_BUCKET, key)
