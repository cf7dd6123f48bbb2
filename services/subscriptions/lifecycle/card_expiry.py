"""Checking the cards of upcoming charges, and emitting `cardExpiring` for those that will have expired.

Stripe is called once for each upcoming charge, and never within a transaction.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
import stripe as sdk

from services.subscriptions.domain.reminders import CARD_NOTICE, CardExpiry, has_expired
from services.subscriptions.domain.stripe_objects import reference_id
from services.subscriptions.due_batches import job_cause
from services.subscriptions.repository.subscriptions import find_subscription, lock_customer
from services.subscriptions.state_changes import emit_subscription
from services.subscriptions.stripe.client import StripeGateway
from services.subscriptions.stripe.payment_methods import saved_payment_method
from services.subscriptions.tables.subscriptions import CustomerRow, SubscriptionRow
from shared.persistence.unit_of_work import Transactions

CHARGES_PAGE = 100
"""Charges read from the database at once; their cards are fetched one by one."""


@dataclass(frozen=True, slots=True)
class UpcomingCharge:
    """An upcoming charge of a subscription."""

    subscription_id: str
    stripe_subscription_id: str
    stripe_customer_id: str
    charged_at: datetime


async def emit_expiring_cards(transactions: Transactions, gateway: StripeGateway, at: datetime) -> None:
    """Emit `cardExpiring` for every charge near `at` whose card will have expired by then."""
    if not gateway.configured:
        return
    last = ""
    while charges := await _upcoming_charges(transactions, at, last):
        for charge in charges:
            await _emit_if_expired(transactions, charge, await _card_expiry(gateway, charge), at)
            last = charge.subscription_id


async def _upcoming_charges(transactions: Transactions, at: datetime, after: str) -> list[UpcomingCharge]:
    end = SubscriptionRow.current_period_end
    query = (
        sa.select(
            SubscriptionRow.subscription_id,
            SubscriptionRow.stripe_subscription_id,
            CustomerRow.stripe_customer_id,
            end.label("charged_at"),
        )
        .join(CustomerRow, CustomerRow.customer == SubscriptionRow.customer)
        .where(
            SubscriptionRow.status.in_(("active", "trialing")),
            SubscriptionRow.collection == "automatic",
            sa.not_(SubscriptionRow.cancel_at_period_end),
            SubscriptionRow.stripe_subscription_id.is_not(None),
            CustomerRow.stripe_customer_id.is_not(None),
            end > at,
            end <= at + CARD_NOTICE,
            SubscriptionRow.card_looked_at_for.is_distinct_from(end),
            SubscriptionRow.subscription_id > after,
        )
        .order_by(SubscriptionRow.subscription_id)
        .limit(CHARGES_PAGE)
    )
    async with transactions.read(asked=job_cause("send_reminders", at), now=at) as work:
        found = await work.session.execute(query)
        # The conditions exclude null values.
        return [UpcomingCharge(**row) for row in found.mappings()]


async def _card_expiry(gateway: StripeGateway, charge: UpcomingCharge) -> CardExpiry | None:
    """Return the expiry of the card that will be charged; None without a card that expires."""
    async with gateway.calls():
        try:
            found = await gateway.api.subscriptions.retrieve_async(charge.stripe_subscription_id)
            method = reference_id(found.to_dict().get("default_payment_method"))
            if method is None:
                default = await saved_payment_method(gateway, charge.stripe_customer_id)
                if default is None:
                    return None
                method = default.stripe_id
            saved = await gateway.api.payment_methods.retrieve_async(method)
        except sdk.InvalidRequestError:
            # Deleted meanwhile; Stripe's own events report what that means for the subscription.
            return None
    card: dict[str, Any] = saved.to_dict().get("card") or {}
    year, month = card.get("exp_year"), card.get("exp_month")
    return CardExpiry(year, month) if isinstance(year, int) and isinstance(month, int) else None


async def _emit_if_expired(
    transactions: Transactions, charge: UpcomingCharge, expiry: CardExpiry | None, at: datetime
) -> None:
    async with transactions.begin(caused_by=job_cause("send_reminders", at), now=at) as work:
        row = await find_subscription(work.session, charge.subscription_id)
        if row is None:
            return
        await lock_customer(work.session, row.customer)
        await work.session.refresh(row)
        is_unchanged = row.current_period_end == charge.charged_at and row.ended_at is None
        if not is_unchanged or row.card_looked_at_for == charge.charged_at:
            return
        row.card_looked_at_for = charge.charged_at
        if expiry is not None and has_expired(expiry, charge.charged_at):
            emit_subscription(work, row, "cardExpiring")
