"""Putting a charge for units beyond the included ones on an invoice, by the service that calls Stripe."""

from datetime import timedelta

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict

from services.consumables.service import service
from services.consumables.tables.overage import OverageChargeRow, OverageLineRow, OverageRow
from services.consumables.tables.projections import KnownFeatureRow
from shared.errors import Rejected
from shared.messaging.external_command import ExternalCommandSteps
from shared.messaging.service_client import ServiceClient
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import consumables as m
from tallystick.messages.base import Customer, Money
from tallystick.messages.subscriptions import BillOverage, OverageLine

RETRY_AFTER = timedelta(days=1)
"""A charge that was refused, for example as Stripe does not know the customer yet, is made again later."""
ASK_TIMEOUT_SECONDS = 60.0
"""A handful of calls to Stripe for each line."""


class InvoicingIntent(BaseModel):
    """The lines of a charge; empty if it is not pending."""

    model_config = ConfigDict(frozen=True)

    customer: str
    subscription_id: str
    currency: str
    lines: list[OverageLine]


@service.external_command(m.ChargeOverage)
async def charge_overage(
    steps: ExternalCommandSteps, command: m.ChargeOverage, client: ServiceClient
) -> m.OverageCharged:
    """Have the lines put on an invoice, and record the outcome of a charge that is pending."""
    intent = await steps.intend(lambda work: _plan(work, command), InvoicingIntent)
    if not intent.lines:
        return await steps.record(lambda work: _found(work, command.charge_id))
    bill = BillOverage(
        command_id=f"overage.{command.charge_id}",
        requested_by="consumables",
        customer=Customer.from_token(intent.customer),
        subscription_id=intent.subscription_id,
        currency=intent.currency,
        lines=intent.lines,
        reference=command.charge_id,
    )
    invoice, failure = None, None
    try:
        invoice = (await client.ask(bill, timeout_seconds=ASK_TIMEOUT_SECONDS)).stripe_invoice_id
    except Rejected as rejection:
        failure = rejection.error.code
    return await steps.record(lambda work: _record(work, command.charge_id, invoice, failure))


async def _plan(work: UnitOfWork, command: m.ChargeOverage) -> InvoicingIntent:
    charge = await _charge(work, command.charge_id)
    query = (
        sa.select(
            OverageRow.feature,
            OverageRow.unit_amount,
            sa.func.coalesce(KnownFeatureRow.name, OverageRow.feature).label("name"),
            sa.cast(sa.func.sum(OverageLineRow.quantity), sa.BigInteger).label("quantity"),
        )
        .join(OverageRow, OverageRow.grant_id == OverageLineRow.grant_id)
        .outerjoin(KnownFeatureRow, KnownFeatureRow.code == OverageRow.feature)
        .where(OverageLineRow.charge_id == command.charge_id)
        .group_by(OverageRow.feature, OverageRow.unit_amount, KnownFeatureRow.name)
        .order_by(OverageRow.feature, OverageRow.unit_amount)
    )
    rows = (await work.session.execute(query)).all() if charge.status == "pending" else []
    return InvoicingIntent(
        customer=charge.customer,
        subscription_id=charge.subscription_id,
        currency=charge.currency,
        lines=[
            OverageLine(
                feature=row.feature,
                quantity=row.quantity,
                unit_amount=row.unit_amount,
                description=f"{row.quantity} × {row.name} beyond the included units",
            )
            for row in rows
            if row.quantity
        ],
    )


async def _record(
    work: UnitOfWork, charge_id: str, invoice: str | None, failure: str | None
) -> m.OverageCharged:
    charge = await _charge(work, charge_id, lock=True)
    if charge.status == "pending":
        charge.status = "invoiced" if failure is None else "failed"
        charge.invoice_id, charge.reason = invoice, failure
        if failure is not None:
            await _owe_again(work, charge_id)
    return m.OverageCharged(charge=charge_snapshot(charge))


async def _owe_again(work: UnitOfWork, charge_id: str) -> None:
    """Take the units of a failed charge off what is charged."""
    query = sa.select(OverageLineRow).where(OverageLineRow.charge_id == charge_id)
    for line in await work.session.scalars(query.order_by(OverageLineRow.grant_id)):
        row = await work.session.get_one(OverageRow, line.grant_id, with_for_update=True)
        row.charged -= line.quantity
        row.closed_at, row.retry_at = None, work.now + RETRY_AFTER


async def _found(work: UnitOfWork, charge_id: str) -> m.OverageCharged:
    return m.OverageCharged(charge=charge_snapshot(await _charge(work, charge_id)))


async def _charge(work: UnitOfWork, charge_id: str, *, lock: bool = False) -> OverageChargeRow:
    row = await work.session.get(OverageChargeRow, charge_id, with_for_update=lock)
    if row is None:
        raise Rejected("not_found", "There is no such charge.", {"charge_id": charge_id})
    return row


def charge_snapshot(row: OverageChargeRow) -> m.OverageCharge:
    """Return a charge as messages show it."""
    return m.OverageCharge(
        charge_id=row.charge_id,
        customer=Customer.from_token(row.customer),
        amount=Money(amount=row.amount, currency=row.currency),
        status=row.status,  # type: ignore[arg-type]
        reason=row.reason,
        stripe_invoice_id=row.invoice_id,
        created_at=row.created_at,
    )
