"""Recharges charged and settled: the paying customer is charged once, and units come with the money.

How the charge went is heard twice, in the answer to it and in the invoice's events; whichever comes first
counts, and money that comes after a failure still brings its units.
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

FORGOTTEN_AFTER = timedelta(minutes=10)
"""Charging takes seconds; while Stripe is away the queue tries again by itself."""
FORGOTTEN_AT_ONCE = 1_000
DEAD_INVOICES = frozenset({"void", "uncollectible"})


class ChargeIntent(BaseModel):
    """Who is to be charged for a recharge, and what they will read; the amount is in minor units."""

    model_config = ConfigDict(frozen=True)

    is_due: bool
    customer: str
    amount: int
    currency: str
    description: str


@dataclass(frozen=True, slots=True)
class Payment:
    """How a charge went."""

    invoice_id: str | None
    failure: str | None = None
    """Why nothing was paid; None: it was."""


@service.external_command(m.ChargeRecharge)
async def charge_recharge(
    steps: ExternalCommandSteps, command: m.ChargeRecharge, client: ServiceClient
) -> m.RechargeFound:
    """Charge the paying customer and settle the recharge; a recharge that is settled already stays so."""
    intent = await steps.intend(lambda work: _plan(work, command), ChargeIntent)
    payment = await _charge(command, intent, client) if intent.is_due else None
    return await steps.record(lambda work: _record(work, command, payment))


@service.job("settle_recharges")
async def settle_recharges(transactions: Transactions, at: datetime) -> None:
    """Have recharges charged that nobody has heard of for a while: their message was lost or buried.

    It is the same command as the first time, so nothing is charged twice.
    """
    async with transactions.begin(
        caused_by=tick_cause("consumables", "settle_recharges", at), now=at
    ) as work:
        forgotten = await work.session.scalars(
            sa.select(RechargeRow.recharge_id)
            .where(RechargeRow.status == "pending", RechargeRow.created_at <= at - FORGOTTEN_AFTER)
            .order_by(RechargeRow.recharge_id)
            .limit(FORGOTTEN_AT_ONCE)
        )
        for recharge_id in forgotten:
            work.send(m.ChargeRecharge(command_id=recharge_id, recharge_id=recharge_id))


@service.event(InvoiceEvent, name="note_invoice")
async def note_invoice(work: UnitOfWork, event: InvoiceEvent) -> None:
    """Hear how an invoice stands that may be a recharge's."""
    invoice = event.invoice
    if invoice.reference is None:
        return
    if invoice.status == "paid":
        await settle(work, invoice.reference, Payment(invoice.invoice_id))
    elif invoice.status in DEAD_INVOICES:
        await settle(work, invoice.reference, Payment(invoice.invoice_id, failure="payment_failed"))


async def settle(work: UnitOfWork, recharge_id: str, payment: Payment) -> None:
    """Write how the charge for a recharge went; nothing where that is known, or there is no such recharge."""
    row = await work.session.get(RechargeRow, recharge_id)
    if row is None or row.status == "skipped":
        return
    payer = await payer_of(work, row.account)
    # The balance first, as everybody does who changes one.
    batch = await open_balances(work, [Account(row.account, row.feature, "consumable", payer.token)])
    await work.session.refresh(row, with_for_update=True)
    if payment.failure is None:
        await _paid(work, row, payment, batch, payer)
    elif row.status == "pending":
        await _failed(work, row, payment, payer)


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
    )


async def _charge(command: m.ChargeRecharge, intent: ChargeIntent, client: ServiceClient) -> Payment:
    """Raises Unavailable when nobody can tell; the next run asks with the same id and hears what happened."""
    charge_recharge = ChargeCustomer(
        command_id=f"recharge.{command.recharge_id}",
        requested_by="consumables",
        customer=Customer.from_token(intent.customer),
        amount=Charge(amount=intent.amount, currency=intent.currency),
        description=intent.description,
        reference=command.recharge_id,
    )
    try:
        return Payment((await client.ask(charge_recharge)).invoice.invoice_id)
    except Rejected as rejection:
        return Payment(None, failure=rejection.error.code)


async def _record(work: UnitOfWork, command: m.ChargeRecharge, payment: Payment | None) -> m.RechargeFound:
    if payment is not None:
        await settle(work, command.recharge_id, payment)
    return m.RechargeFound(recharge=recharge_snapshot(await _recharge(work, command.recharge_id)))


async def _recharge(work: UnitOfWork, recharge_id: str) -> RechargeRow:
    row = await work.session.get(RechargeRow, recharge_id)
    if row is None:
        raise Rejected("not_found", "There is no such recharge.", {"recharge_id": recharge_id})
    return row


async def _paid(
    work: UnitOfWork, row: RechargeRow, payment: Payment, batch: LedgerBatch, payer: Customer
) -> None:
    if row.status == "paid":
        return
    row.status, row.reason, row.invoice_id = "paid", None, payment.invoice_id
    row.version += 1
    source = {"kind": "recharge", "recharge_id": row.recharge_id}
    key = f"recharge/{row.recharge_id}"
    new = NewGrant(new_id("grant"), row.quantity, None, PLAN_PRIORITY, source, key)
    batch.give(batch.balances[row.account, row.feature], [new])
    await work.session.execute(
        sa.update(AutoRechargeRow)
        .where(AutoRechargeRow.account == row.account, AutoRechargeRow.feature == row.feature)
        .values(failures=0)
    )
    emit_recharge(work, row, "paid", payer)
    await work.flush()
    await write_and_recharge(work, batch)


async def _failed(work: UnitOfWork, row: RechargeRow, payment: Payment, payer: Customer) -> None:
    row.status, row.reason, row.invoice_id = "failed", payment.failure, payment.invoice_id
    row.version += 1
    emit_recharge(work, row, "failed", payer)
    if not row.automatic:
        return
    rule = await work.session.get(AutoRechargeRow, (row.account, row.feature), with_for_update=True)
    if rule is not None:
        rule.failures += 1
        rule.suspended = rule.failures >= FAILURES_MAX
