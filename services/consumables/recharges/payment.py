"""Charging of recharges: the paying customer is charged once, and a paid recharge grants its units.

The outcome of a charge arrives twice, as the result of the command and in the invoice's events. The first one
is recorded. A payment that arrives after a failure still grants the units.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict

from services.consumables.domain.allotments import PLAN_PRIORITY
from services.consumables.domain.auto_recharge import FAILURES_MAX
from services.consumables.domain.balance import NewGrant
from services.consumables.ledger.repository import Account, LedgerBatch, open_balances
from services.consumables.recharges.low_balances import write_and_recharge
from services.consumables.recharges.refund import follow_refunds
from services.consumables.recharges.repository import emit_recharge, payer_of, recharge_snapshot
from services.consumables.service import service
from services.consumables.tables.ledger import AutoRechargeRow, RechargeRow
from services.consumables.tables.projections import KnownFeatureRow
from shared.errors import Rejected
from shared.ids import new_id
from shared.messaging.external_command import ExternalCommandSteps
from shared.messaging.service import tick_cause
from shared.messaging.service_client import ServiceClient
from shared.persistence.unit_of_work import Transactions, UnitOfWork
from tallystick.messages import consumables as m
from tallystick.messages.base import Customer
from tallystick.messages.subscriptions import Charge, ChargeCustomer, InvoiceEvent

STALE_AFTER = timedelta(minutes=10)
"""Recharges pending for longer are charged again; a charge takes seconds, and its command is retried."""
STALE_BATCH_SIZE = 1_000
DEAD_INVOICES = frozenset({"void", "uncollectible"})


class ChargeIntent(BaseModel):
    """The charge of a recharge: the customer, the amount in minor units and the invoice's description."""

    model_config = ConfigDict(frozen=True)

    is_due: bool
    customer: str
    amount: int
    currency: str
    description: str
    feature: str | None = None
    """The feature whose units are bought; None: planned by a version that did not say so."""


@dataclass(frozen=True, slots=True)
class Payment:
    """The outcome of a charge."""

    invoice_id: str | None
    failure: str | None = None
    """The reason of a failed charge; None: it was paid."""


@service.external_command(m.ChargeRecharge)
async def charge_recharge(
    steps: ExternalCommandSteps, command: m.ChargeRecharge, client: ServiceClient
) -> m.RechargeFound:
    """Charge the paying customer and record the outcome; a recharge that is not pending stays as it is."""
    intent = await steps.intend(lambda work: _plan(work, command), ChargeIntent)
    payment = await _charge(command, intent, client) if intent.is_due else None
    return await steps.record(lambda work: _record(work, command, payment))


@service.job("settle_recharges")
async def settle_recharges(transactions: Transactions, at: datetime) -> None:
    """Send the charge of pending recharges again whose command may have been lost or dead-lettered.

    The command has the id of the first one, so nothing is charged twice.
    """
    async with transactions.begin(
        caused_by=tick_cause("consumables", "settle_recharges", at), now=at
    ) as work:
        stale = await work.session.scalars(
            sa.select(RechargeRow.recharge_id)
            .where(RechargeRow.status == "pending", RechargeRow.created_at <= at - STALE_AFTER)
            .order_by(RechargeRow.recharge_id)
            .limit(STALE_BATCH_SIZE)
        )
        for recharge_id in stale:
            work.send(m.ChargeRecharge(command_id=recharge_id, recharge_id=recharge_id))


@service.event(InvoiceEvent, name="note_invoice")
async def note_invoice(work: UnitOfWork, event: InvoiceEvent) -> None:
    """Record the outcome of a recharge from the status of its invoice, and follow its refunds."""
    invoice = event.invoice
    if invoice.reference is None:
        return
    if invoice.status == "paid":
        await record_payment(work, invoice.reference, Payment(invoice.invoice_id))
        await follow_refunds(work, invoice)
    elif invoice.status in DEAD_INVOICES:
        await record_payment(work, invoice.reference, Payment(invoice.invoice_id, failure="payment_failed"))


async def record_payment(work: UnitOfWork, recharge_id: str, payment: Payment) -> None:
    """Record the outcome of a recharge's charge, unless it is recorded or there is no such recharge."""
    row = await work.session.get(RechargeRow, recharge_id)
    if row is None or row.status == "skipped":
        return
    payer = await payer_of(work, row.account)
    # The balance is locked first, as by every transaction that changes one.
    batch = await open_balances(work, [Account(row.account, row.feature, "consumable", payer.token)])
    await work.session.refresh(row, with_for_update=True)
    if payment.failure is None:
        await _record_paid(work, row, payment, batch, payer)
    elif row.status == "pending":
        await _record_failed(work, row, payment, payer)


async def _plan(work: UnitOfWork, command: m.ChargeRecharge) -> ChargeIntent:
    row = await _recharge(work, command.recharge_id)
    payer = await payer_of(work, row.account)
    feature = await work.session.get(KnownFeatureRow, row.feature)
    return ChargeIntent(
        is_due=row.status == "pending",
        customer=payer.token,
        amount=row.amount,
        currency=row.currency,
        description=f"{row.quantity} × {feature.name if feature else row.feature}",
        feature=row.feature,
    )


async def _charge(command: m.ChargeRecharge, intent: ChargeIntent, client: ServiceClient) -> Payment:
    """Charge the customer and return the outcome.

    Raises Unavailable if the outcome is unknown. The next run sends the same command id and gets the outcome.
    """
    charge_customer = ChargeCustomer(
        command_id=f"recharge.{command.recharge_id}",
        requested_by="consumables",
        customer=Customer.from_token(intent.customer),
        amount=Charge(amount=intent.amount, currency=intent.currency),
        description=intent.description,
        reference=command.recharge_id,
        feature=intent.feature,
    )
    try:
        return Payment((await client.ask(charge_customer)).invoice.invoice_id)
    except Rejected as rejection:
        return Payment(None, failure=rejection.error.code)


async def _record(work: UnitOfWork, command: m.ChargeRecharge, payment: Payment | None) -> m.RechargeFound:
    if payment is not None:
        await record_payment(work, command.recharge_id, payment)
    return m.RechargeFound(recharge=recharge_snapshot(await _recharge(work, command.recharge_id)))


async def _recharge(work: UnitOfWork, recharge_id: str) -> RechargeRow:
    row = await work.session.get(RechargeRow, recharge_id)
    if row is None:
        raise Rejected("not_found", "There is no such recharge.", {"recharge_id": recharge_id})
    return row


async def _record_paid(
    work: UnitOfWork, row: RechargeRow, payment: Payment, batch: LedgerBatch, payer: Customer
) -> None:
    if row.status == "paid":
        return
    row.status, row.reason, row.invoice_id = "paid", None, payment.invoice_id
    row.version += 1
    source = {"kind": "recharge", "recharge_id": row.recharge_id}
    key = f"recharge/{row.recharge_id}"
    new = NewGrant(new_id("grant"), row.quantity, None, PLAN_PRIORITY, source, key)
    batch.add_grants(batch.balances[row.account, row.feature], [new])
    await work.session.execute(
        sa.update(AutoRechargeRow)
        .where(AutoRechargeRow.account == row.account, AutoRechargeRow.feature == row.feature)
        .values(failures=0)
    )
    emit_recharge(work, row, "paid", payer)
    await work.flush()
    await write_and_recharge(work, batch)


async def _record_failed(work: UnitOfWork, row: RechargeRow, payment: Payment, payer: Customer) -> None:
    row.status, row.reason, row.invoice_id = "failed", payment.failure, payment.invoice_id
    row.version += 1
    emit_recharge(work, row, "failed", payer)
    if not row.automatic:
        return
    rule = await work.session.get(AutoRechargeRow, (row.account, row.feature), with_for_update=True)
    if rule is not None:
        rule.failures += 1
        rule.suspended = rule.failures >= FAILURES_MAX
