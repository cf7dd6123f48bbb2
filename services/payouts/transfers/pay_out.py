"""`pay_out`: take the amount from the balance, transfer it at Stripe, record what became of it.

The amount leaves the balance in the transaction that commits the intent, before Stripe is called. Whatever
happens then, it cannot be paid out twice: a run after a crash sends the same transfer again, which Stripe
makes once, and only a refusal returns the amount.
"""

from dataclasses import dataclass
from functools import partial

from pydantic import BaseModel, ConfigDict

from services.payouts.accounts.repository import lock_open_account
from services.payouts.domain.payout_rules import Minimum, Payable, PayoutRefused, PayoutRequest
from services.payouts.domain.seller_ledger import available_movement
from services.payouts.ledger.writer import open_ledger
from services.payouts.service import service
from services.payouts.stripe.client import StripeConnect, TransferOrder, TransferRefused
from services.payouts.tables.accounts import AccountRow
from services.payouts.tables.payouts import PayoutRow
from services.payouts.transfers.repository import currencies_of, lock_payout
from services.payouts.transfers.state_changes import emit_payout, mark_failed, mark_paid, payout_snapshot
from shared.errors import Rejected
from shared.ids import new_id
from shared.messaging.external_command import ExternalCommandSteps
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import payouts as m
from tallystick.messages.base import Money


class PayoutIntent(BaseModel):
    """The transfer to make."""

    model_config = ConfigDict(frozen=True)

    payout_id: str
    stripe_account_id: str
    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class Payout:
    """One `pay_out`."""

    steps: ExternalCommandSteps
    command: m.PayOut
    stripe: StripeConnect

    async def run(self) -> m.PayoutFound:
        """Book, transfer, record.

        Raises Rejected `not_connected`, `payouts_not_enabled`, `insufficient_balance`, `below_minimum`,
        `currency_required`; Unavailable if Stripe does not answer, and then the amount stays paid out.
        """
        self.stripe.require()
        intent = await self.steps.intend(self._book, PayoutIntent)
        order = TransferOrder(
            payout_id=intent.payout_id,
            stripe_account_id=intent.stripe_account_id,
            amount=intent.amount,
            currency=intent.currency,
            description=self.command.reference,
        )
        try:
            transfer_id = await self.stripe.transfer(order, key=self.steps.key("transfer"))
        except TransferRefused as refused:
            failure = m.PayoutFailure(code=refused.code, message=refused.message)
            return await self.steps.record(partial(self._record_refusal, intent, failure))
        return await self.steps.record(partial(self._record_transfer, intent, transfer_id))

    async def _book(self, work: UnitOfWork) -> PayoutIntent:
        account = await lock_open_account(work.session, self.command.customer)
        if not account.payouts_enabled:
            raise Rejected(
                "payouts_not_enabled",
                "Stripe does not pay out to this account yet: use open_onboarding to meet what is due.",
                account.requirements,
            )
        amount, currency = await self._decide(work, account)
        row = self._new_row(work, account, amount, currency)
        work.session.add(row)
        key = (account.customer, currency)
        ledger = await open_ledger(work, [key])
        movement = available_movement("paid_out", amount)
        ledger.write(key, movement, payout_id=row.payout_id, reason=self.command.reference)
        ledger.emit()
        emit_payout(work, row, "created")
        return PayoutIntent(
            payout_id=row.payout_id,
            stripe_account_id=row.stripe_account_id,
            amount=amount,
            currency=currency,
        )

    async def _decide(self, work: UnitOfWork, account: AccountRow) -> tuple[int, str]:
        currencies = await currencies_of(work.session, account.customer)
        ledger = await open_ledger(work, [(account.customer, currency) for currency in currencies])
        payable = Payable(
            available={currency: row.available for (_, currency), row in ledger.balances.items()},
            minimum=Minimum(account.minimum, account.minimum_currency),
        )
        try:
            return payable.decide(_requested(self.command))
        except PayoutRefused as refused:
            raise Rejected(refused.code, refused.message, refused.details) from refused  # type: ignore[arg-type]

    def _new_row(self, work: UnitOfWork, account: AccountRow, amount: int, currency: str) -> PayoutRow:
        return PayoutRow(
            payout_id=new_id("payout"),
            version=0,
            customer=account.customer,
            payout_account_id=account.payout_account_id,
            stripe_account_id=account.stripe_account_id,
            currency=currency,
            amount=amount,
            amount_reversed=0,
            status="pending",
            reference=self.command.reference,
            created_at=work.now,
        )

    async def _record_transfer(
        self, intent: PayoutIntent, transfer_id: str, work: UnitOfWork
    ) -> m.PayoutFound:
        row = await _locked(work, intent)
        mark_paid(work, row, transfer_id)
        return m.PayoutFound(payout=payout_snapshot(row))

    async def _record_refusal(
        self, intent: PayoutIntent, failure: m.PayoutFailure, work: UnitOfWork
    ) -> m.PayoutFound:
        row = await _locked(work, intent)
        await mark_failed(work, row, failure)
        return m.PayoutFound(payout=payout_snapshot(row))


@service.external_command(m.PayOut)
async def pay_out(steps: ExternalCommandSteps, command: m.PayOut, stripe: StripeConnect) -> m.PayoutFound:
    """Pay out to a seller; raises as `Payout.run`."""
    return await Payout(steps, command, stripe).run()


def _requested(command: m.PayOut) -> PayoutRequest:
    if isinstance(command.amount, Money):
        return PayoutRequest(command.amount.amount, command.amount.currency)
    return PayoutRequest(command.amount, command.currency)


async def _locked(work: UnitOfWork, intent: PayoutIntent) -> PayoutRow:
    row = await lock_payout(work.session, intent.payout_id)
    if row is None:
        raise RuntimeError(f"the payout {intent.payout_id} of a committed intent is missing")
    return row
