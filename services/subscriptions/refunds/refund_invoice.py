"""`refund_invoice`: reserve the amount, refund it in Stripe, end the subscription if asked, and record it."""

from dataclasses import dataclass
from functools import partial

from pydantic import BaseModel, ConfigDict

from services.subscriptions.domain.refunds import (
    RETURNED,
    PaidAmount,
    StripeRefund,
    amount_to_refund,
)
from services.subscriptions.domain.stripe_objects import StripeSubscription
from services.subscriptions.lifecycle.stripe_mutation import apply_stripe_answer
from services.subscriptions.refunds.state_changes import note_refunds, refund_snapshot
from services.subscriptions.rejections import as_rejection
from services.subscriptions.repository.refunds import find_invoice, refunds_of
from services.subscriptions.repository.subscriptions import find_subscription, lock_customer
from services.subscriptions.service import service
from services.subscriptions.stripe.client import StripeGateway
from services.subscriptions.stripe.refunds import create_refund
from services.subscriptions.tables.refunds import RefundRow
from services.subscriptions.tables.subscriptions import InvoiceRow
from shared.errors import Rejected, invalid_message
from shared.ids import new_id
from shared.messaging.external_command import ExternalCommandSteps
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m


class RefundIntent(BaseModel):
    """A refund whose amount is reserved; in the minor unit of the invoice's currency."""

    model_config = ConfigDict(frozen=True)

    refund_id: str
    stripe_invoice_id: str
    amount: int
    stripe_subscription_id: str | None
    """The subscription to end; None: none is ended."""


@service.external_command(m.RefundInvoice)
async def refund_invoice(
    steps: ExternalCommandSteps, command: m.RefundInvoice, stripe: StripeGateway
) -> m.RefundMade:
    """Refund a paid invoice, and end its subscription if the command says so."""
    stripe.require()
    return await InvoiceRefund(steps, command, stripe).run()


@dataclass(frozen=True, slots=True)
class InvoiceRefund:
    """One refund by command."""

    steps: ExternalCommandSteps
    command: m.RefundInvoice
    stripe: StripeGateway

    async def run(self) -> m.RefundMade:
        """Make the refund; raises Rejected with the codes of the command."""
        intent = await self.steps.intend(self._plan, RefundIntent)
        try:
            refund = await create_refund(
                self.stripe,
                intent.stripe_invoice_id,
                refund_id=intent.refund_id,
                amount=intent.amount,
                reason=self.command.reason,
                key=self.steps.key("refund"),
            )
        except Rejected:
            await self._release(intent)
            raise
        ended = await self._end(intent.stripe_subscription_id)
        return await self.steps.record(partial(self._record, intent=intent, refund=refund, ended=ended))

    async def _plan(self, work: UnitOfWork) -> RefundIntent:
        """Reserve the amount under the customer's lock, so that two refunds at once add up."""
        invoice = await _lock_invoice(work, self.command.invoice_id)
        refunded = sum(
            row.amount
            for row in await refunds_of(work.session, invoice.invoice_id)
            if row.status not in RETURNED
        )
        paid = PaidAmount(invoice.status, invoice.amount_paid, refunded, bool(invoice.amount_disputed))
        amount = as_rejection(lambda: amount_to_refund(paid, self._requested(invoice)))
        refund_id = new_id("refund")
        work.session.add(self._pending(refund_id, invoice, amount, work))
        return RefundIntent(
            refund_id=refund_id,
            stripe_invoice_id=invoice.stripe_invoice_id,
            amount=amount,
            stripe_subscription_id=await self._subscription_to_end(work, invoice),
        )

    def _requested(self, invoice: InvoiceRow) -> int | None:
        amount = self.command.amount
        if not isinstance(amount, m.Charge):
            return amount
        if amount.currency != invoice.currency:
            problem = f"must be {invoice.currency}, the invoice's currency"
            raise invalid_message([{"field": "amount.currency", "problem": problem}])
        return amount.amount

    def _pending(self, refund_id: str, invoice: InvoiceRow, amount: int, work: UnitOfWork) -> RefundRow:
        return RefundRow(
            refund_id=refund_id,
            invoice_id=invoice.invoice_id,
            customer=invoice.customer,
            amount=amount,
            currency=invoice.currency,
            status="pending",
            reason=self.command.reason,
            requested_by=self.command.requested_by,
            created_at=work.now,
        )

    async def _subscription_to_end(self, work: UnitOfWork, invoice: InvoiceRow) -> str | None:
        if not self.command.end_subscription:
            return None
        if invoice.subscription_id is None:
            problem = "the invoice is not one of a subscription"
            raise invalid_message([{"field": "end_subscription", "problem": problem}])
        row = await find_subscription(work.session, invoice.subscription_id)
        has_ended = row is None or row.status in m.FINAL_STATUSES
        return None if row is None or has_ended else row.stripe_subscription_id

    async def _end(self, stripe_subscription_id: str | None) -> StripeSubscription | None:
        """Cancel the subscription in Stripe at once; one that has ended there meanwhile is returned."""
        if stripe_subscription_id is None:
            return None
        try:
            return await self.stripe.cancel_now(
                stripe_subscription_id, reason=self.command.reason, key=self.steps.key("cancel")
            )
        except Rejected:
            return await self.stripe.find_subscription(stripe_subscription_id)

    async def _record(
        self, work: UnitOfWork, intent: RefundIntent, refund: StripeRefund, ended: StripeSubscription | None
    ) -> m.RefundMade:
        invoice = await _lock_invoice(work, self.command.invoice_id)
        await note_refunds(work, invoice, [refund])
        if ended is not None and invoice.subscription_id is not None:
            row = await find_subscription(work.session, invoice.subscription_id)
            if row is not None:
                await apply_stripe_answer(work, row, row.stripe_revision, ended)
        made = await work.session.get_one(RefundRow, intent.refund_id)
        return m.RefundMade(refund=refund_snapshot(made))

    async def _release(self, intent: RefundIntent) -> None:
        """Give the reserved amount back when Stripe has refused the refund."""
        steps = self.steps
        async with steps.transactions.begin(caused_by=self.command.command_id, now=steps.received_at) as work:
            await _lock_invoice(work, self.command.invoice_id)
            row = await work.session.get_one(RefundRow, intent.refund_id, populate_existing=True)
            if row.stripe_refund_id is None:
                await work.session.delete(row)


async def _lock_invoice(work: UnitOfWork, invoice_id: str) -> InvoiceRow:
    """Load an invoice's row under its customer's lock; raises Rejected `not_found`."""
    row = await find_invoice(work.session, invoice_id)
    if row is not None:
        await lock_customer(work.session, row.customer)
        row = await find_invoice(work.session, invoice_id)
    if row is None:
        raise Rejected("not_found", f"There is no invoice {invoice_id}.", {"invoice_id": invoice_id})
    return row
