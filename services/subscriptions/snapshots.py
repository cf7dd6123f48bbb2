"""Converting between rows, domain objects and the snapshots of messages."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, cast

from services.subscriptions.domain.billing_periods import BillingInterval
from services.subscriptions.domain.invoices import Invoice
from services.subscriptions.domain.subscription_state import State
from services.subscriptions.tables.subscriptions import (
    CustomerRow,
    EntitlementRow,
    InvoiceRow,
    SubscriptionRow,
)
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer
from tallystick.messages.catalog import Interval
from tallystick.subjects import entitlement_key

_STATE_FIELDS = (
    "status",
    "collection",
    "current_period_start",
    "current_period_end",
    "trial_end",
    "cancel_at_period_end",
    "cancel_at",
    "canceled_at",
    "ended_at",
    "grace_until",
    "restricted",
)
STATE_COLUMNS = ("items", "scheduled_change", *_STATE_FIELDS)
"""The columns of a subscription that hold its state."""
_INVOICE_FIELDS = (
    "stripe_invoice_id",
    "stripe_customer_id",
    "stripe_subscription_id",
    "number",
    "status",
    "total",
    "amount_due",
    "amount_paid",
    "amount_credited",
    "currency",
    "reference",
    "attempt_count",
    "hosted_invoice_url",
    "invoice_pdf",
    "created_at",
)
_NET_AND_TAX_FIELDS = ("subtotal", "discount", "total_excluding_tax")


def customer_snapshot(row: CustomerRow) -> m.CustomerSnapshot:
    """Build a customer's snapshot."""
    customer = Customer.from_token(row.customer)
    return m.CustomerSnapshot(
        type=customer.type,
        id=customer.id,
        customer_id=row.customer_id,
        version=row.version,
        email=row.email,
        name=row.name,
        metadata=row.notes,
        stripe_customer_id=row.stripe_customer_id,
        created_at=row.created_at,
        overrides=[m.OverrideSnapshot.model_validate(override, strict=False) for override in row.overrides],
    )


def subscription_snapshot(row: SubscriptionRow) -> m.SubscriptionSnapshot:
    """Build a subscription's snapshot."""
    state = state_from_row(row)
    return m.SubscriptionSnapshot(
        subscription_id=row.subscription_id,
        version=row.version,
        customer=Customer.from_token(row.customer),
        items=list(state.items),
        scheduled_change=state.scheduled_change,
        stripe_subscription_id=row.stripe_subscription_id,
        created_at=row.created_at,
        **{field: getattr(state, field) for field in _STATE_FIELDS} | {"cancel_at": state.ends_at},
    )


def state_from_row(row: SubscriptionRow) -> State:
    """Build the state that a row stores."""
    return state_from_columns([getattr(row, field) for field in STATE_COLUMNS])


def state_from_columns(values: Sequence[Any]) -> State:
    """Build a state from a row's `STATE_COLUMNS`."""
    items, scheduled, *others = values
    return State(
        items=tuple(m.SubscriptionItem.model_validate(item) for item in items),
        scheduled_change=m.ScheduledChange.model_validate(scheduled, strict=False) if scheduled else None,
        **dict(zip(_STATE_FIELDS, others, strict=True)),
    )


def write_state(row: SubscriptionRow, state: State) -> None:
    """Write a state into a row."""
    for field in _STATE_FIELDS:
        setattr(row, field, getattr(state, field))
    row.items = [item.model_dump(mode="json") for item in state.items]
    scheduled = state.scheduled_change
    row.scheduled_change = scheduled.model_dump(mode="json") if scheduled else None


def period_from_row(row: SubscriptionRow) -> tuple[datetime, BillingInterval]:
    """Return the anchor of a self-managed subscription's periods and their length."""
    if row.period_anchor is None or row.period_interval is None:
        raise RuntimeError(f"{row.subscription_id} is self-managed but has no period anchor")
    every = BillingInterval(cast(Interval, row.period_interval), row.period_interval_count)
    return row.period_anchor, every


def write_period(row: SubscriptionRow, anchor: datetime | None, every: BillingInterval) -> None:
    """Write the anchor and the length of a self-managed subscription's periods into its row."""
    row.period_anchor, row.period_interval, row.period_interval_count = anchor, every.interval, every.count


def invoice_snapshot(row: InvoiceRow) -> m.InvoiceSnapshot:
    """Build an invoice's snapshot."""
    shown = (field for field in _INVOICE_FIELDS if field in m.InvoiceSnapshot.model_fields)
    lines, amounts = _lines(row), _net_and_taxes(row)
    return m.InvoiceSnapshot(
        invoice_id=row.invoice_id,
        version=row.version,
        customer=Customer.from_token(row.customer),
        subscription_id=row.subscription_id,
        declined_at=row.declined_at if row.status == "open" else None,
        lines=lines,
        tax=row.total - amounts["total_excluding_tax"],
        **amounts | {"taxes": list(amounts["taxes"])},
        amount_refunded=row.amount_refunded or 0,
        disputed=bool(row.amount_disputed),
        amount_disputed=row.amount_disputed or 0,
        amount_charged_back=row.amount_charged_back or 0,
        **{field: getattr(row, field) for field in shown},
    )


def invoice_from_row(row: InvoiceRow) -> Invoice:
    """Build the invoice that a row stores."""
    fields = {field: getattr(row, field) for field in _INVOICE_FIELDS}
    return Invoice(lines=tuple(_lines(row)), **fields, **_net_and_taxes(row))


def write_invoice(row: InvoiceRow, invoice: Invoice) -> None:
    """Write an invoice into a row."""
    for field in _INVOICE_FIELDS:
        setattr(row, field, getattr(invoice, field))
    for field in _NET_AND_TAX_FIELDS:
        setattr(row, field, getattr(invoice, field))
    row.lines = [line.model_dump(mode="json") for line in invoice.lines]
    row.taxes = [tax.model_dump(mode="json") for tax in invoice.taxes]


def entitlement_snapshot(row: EntitlementRow) -> m.EntitlementSnapshot:
    """Build an entitlement's snapshot."""
    return m.EntitlementSnapshot(
        entitlement_id=entitlement_key(row.customer, row.feature),
        version=row.version,
        customer=Customer.from_token(row.customer),
        feature=row.feature,
        **dict(allowance_from_row(row)),
    )


def allowance_from_row(row: EntitlementRow) -> m.Allowance:
    """Build the allowance that an entitlement's row stores."""
    return m.Allowance(
        allowed=row.allowed,
        quantity=row.quantity,
        sources=sources_from(row.sources),
        expires_at=row.expires_at,
        upcoming=upcoming_from(row.upcoming),
    )


def sources_from(stored: Iterable[object]) -> list[m.EntitlementSource]:
    """Parse the stored sources of an entitlement."""
    return [m.EntitlementSource.model_validate(source) for source in stored]


def upcoming_from(stored: Iterable[object]) -> list[m.UpcomingAllowance]:
    """Parse the stored changes ahead of an entitlement; times are strings in JSON."""
    return [m.UpcomingAllowance.model_validate(step, strict=False) for step in stored]


def _net_and_taxes(row: InvoiceRow) -> dict[str, Any]:
    """Return the net amounts and taxes of an invoice; a row that lacks them is of an invoice without tax."""
    return {
        "subtotal": sum(line["amount"] for line in row.lines) if row.subtotal is None else row.subtotal,
        "discount": row.discount or 0,
        "total_excluding_tax": row.total if row.total_excluding_tax is None else row.total_excluding_tax,
        "taxes": tuple(m.InvoiceTax.model_validate(tax) for tax in row.taxes or []),
    }


def _lines(row: InvoiceRow) -> list[m.InvoiceLine]:
    # Stored as JSON, where times are strings.
    return [m.InvoiceLine.model_validate(line, strict=False) for line in row.lines]
