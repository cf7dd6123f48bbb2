"""Opening a connected account: reserve the seller's row, open the account at Stripe, record the answer.

The reserved row keeps a second command from opening another account for the same seller meanwhile.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from pydantic import BaseModel, ConfigDict

from services.payouts.accounts.repository import find_account, find_any_account, reserve_account
from services.payouts.accounts.state_changes import account_snapshot, emit_account, write_stripe_state
from services.payouts.domain.stripe_account import StripeAccount
from services.payouts.service import service
from services.payouts.stripe.client import ACCOUNT_ID_KEY, CUSTOMER_KEY, StripeConnect
from services.payouts.tables.accounts import AccountRow
from shared.clock import utc_now
from shared.errors import Rejected, Unavailable
from shared.ids import new_id
from shared.messaging.external_command import ExternalCommandSteps
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import payouts as m

NO_REQUIREMENTS: dict[str, Any] = {"currently_due": [], "past_due": [], "disabled_reason": None}


@dataclass(frozen=True, slots=True)
class SellerDefaults:
    """What applies to sellers who have not chosen otherwise."""

    hold_days: int
    page_url: str
    """The seller's page, to which onboarding leads back."""


class ConnectIntent(BaseModel):
    """The account to open."""

    model_config = ConfigDict(frozen=True)

    payout_account_id: str


@dataclass(frozen=True, slots=True)
class AccountOpening:
    """One `connect_account`."""

    steps: ExternalCommandSteps
    command: m.ConnectAccount
    stripe: StripeConnect
    defaults: SellerDefaults

    async def run(self) -> m.AccountConnected:
        """Reserve, open, record; raises Rejected `already_connected` and what Stripe refuses."""
        self.stripe.require()
        intent = await self.steps.intend(self._reserve, ConnectIntent)
        asked_at = utc_now()
        try:
            opened = await self._open(intent)
        except Rejected:
            await self._give_up()
            raise
        back = self.command.return_url or self.defaults.page_url
        page = await self.stripe.open_onboarding(
            opened.stripe_account_id, return_url=back, refresh_url=self.command.refresh_url or back
        )
        return await self.steps.record(partial(self._record, opened, asked_at, page.url))

    async def _reserve(self, work: UnitOfWork) -> ConnectIntent:
        customer = self.command.customer.token
        before = await find_any_account(work.session, customer)
        row = self._new_row(work, before)
        if await reserve_account(work.session, row):
            return ConnectIntent(payout_account_id=row.payout_account_id)
        present = await find_account(work.session, customer)
        if present is None or present.stripe_account_id is None:
            raise Unavailable("The account of this seller is being opened by another command.")
        raise Rejected(
            "already_connected",
            "This seller has a connected account. Use open_onboarding to complete it.",
            {"customer": customer, "payout_account_id": present.payout_account_id},
        )

    def _new_row(self, work: UnitOfWork, before: AccountRow | None) -> AccountRow:
        """Build the row; a seller who was connected before keeps the schedule."""
        return AccountRow(
            payout_account_id=new_id("pacct"),
            version=0,
            customer=self.command.customer.token,
            country=self.command.country,
            email=self.command.email,
            opened_by=self.command.command_id,
            details_submitted=False,
            charges_enabled=False,
            payouts_enabled=False,
            requirements=NO_REQUIREMENTS,
            hold_days=before.hold_days if before else self.defaults.hold_days,
            every=before.every if before else "manual",
            minimum=before.minimum if before else 0,
            minimum_currency=before.minimum_currency if before else None,
            next_payout_at=before.next_payout_at if before else None,
            created_at=work.now,
        )

    async def _open(self, intent: ConnectIntent) -> StripeAccount:
        params = {
            "type": "express",
            "country": self.command.country,
            "capabilities": {"transfers": {"requested": True}},
            "metadata": {
                CUSTOMER_KEY: self.command.customer.token,
                ACCOUNT_ID_KEY: intent.payout_account_id,
            },
        }
        if self.command.email is not None:
            params["email"] = self.command.email
        return await self.stripe.open_account(params, key=self.steps.key("account"))

    async def _record(
        self, opened: StripeAccount, asked_at: datetime, url: str, work: UnitOfWork
    ) -> m.AccountConnected:
        row = await find_account(work.session, self.command.customer.token, lock=True)
        if row is None or row.opened_by != self.command.command_id:
            raise Unavailable("The reserved account is gone.")
        row.stripe_account_id = opened.stripe_account_id
        write_stripe_state(row, opened, asked_at)
        emit_account(work, row, "created")
        return m.AccountConnected(account=account_snapshot(row), onboarding_url=url)

    async def _give_up(self) -> None:
        """Delete the reserved row, which nobody was told of."""
        transactions, command_id = self.steps.transactions, self.command.command_id
        async with transactions.begin(caused_by=command_id, now=self.steps.received_at) as work:
            row = await find_account(work.session, self.command.customer.token, lock=True)
            if row is not None and row.version == 0 and row.opened_by == command_id:
                await work.session.delete(row)


@service.external_command(m.ConnectAccount)
async def connect_account(
    steps: ExternalCommandSteps, command: m.ConnectAccount, stripe: StripeConnect, defaults: SellerDefaults
) -> m.AccountConnected:
    """Open a connected account for a seller; raises as `AccountOpening.run`."""
    return await AccountOpening(steps, command, stripe, defaults).run()
