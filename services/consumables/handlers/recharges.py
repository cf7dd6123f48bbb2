"""Units that are bought, by hand and by themselves."""

from datetime import datetime

from services.consumables.recharges import payment, purchase, queries
from services.consumables.service import service
from shared.messaging.external_command import Steps
from shared.messaging.service_client import Asking
from shared.persistence.unit_of_work import Transactions, Work
from tallystick.messages import consumables as m
from tallystick.messages.subscriptions import InvoiceEvent


@service.command(m.SetAutoRecharge)
async def set_auto_recharge(work: Work, command: m.SetAutoRecharge) -> m.AutoRecharge:
    """Have more bought by itself, or no more."""
    return await purchase.set_rule(work, command)


@service.command(m.Recharge)
async def recharge(work: Work, command: m.Recharge) -> m.RechargeFound:
    """Buy units now."""
    return await purchase.recharge_now(work, command)


@service.external_command(m.ChargeRecharge)
async def charge_recharge(steps: Steps, command: m.ChargeRecharge, asking: Asking) -> m.RechargeFound:
    """Have the paying customer charged, then give the units."""
    return await payment.charge(steps, command, asking)


@service.event(InvoiceEvent, name="note_invoice")
async def note_invoice(work: Work, event: InvoiceEvent) -> None:
    """Hear of a recharge's invoice, late payments too."""
    await payment.settle_invoice(work, event.invoice)


@service.job("settle_recharges")
async def settle_recharges(transactions: Transactions, at: datetime) -> None:
    """Recharges that are pending for long are looked after."""
    await payment.charge_forgotten(transactions, at)


@service.question(m.GetAutoRecharge)
async def get_auto_recharge(work: Work, question: m.GetAutoRecharge) -> m.AutoRecharge:
    """The rule of an account and feature."""
    return await queries.get_auto_recharge(work, question)


@service.question(m.ListRecharges)
async def list_recharges(work: Work, question: m.ListRecharges) -> m.RechargePage:
    """An account's recharges, newest first."""
    return await queries.list_recharges(work, question)
