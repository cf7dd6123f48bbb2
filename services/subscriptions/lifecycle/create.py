"""Creating a subscription: self-managed, charged to the saved payment method, or billed by invoice."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import stripe as sdk

from services.subscriptions.checkout.start_checkout import (
    CheckoutIntent,
    Trials,
    hold_order,
    item_params,
    release_checkout,
    require_not_subscribed,
)
from services.subscriptions.customers.stripe_link import (
    adopt_subscription,
    link_stripe_customer,
    new_subscription,
)
from services.subscriptions.domain.billing_periods import billing_interval
from services.subscriptions.domain.catalog.catalog_view import CatalogView
from services.subscriptions.domain.orders import Line, exclusive_codes, order_lines
from services.subscriptions.domain.self_managed_periods import initial_anchor, initial_state
from services.subscriptions.domain.stripe_objects import (
    CHECKOUT_ID_KEY,
    CUSTOMER_KEY,
    StripeSubscription,
    read_subscription,
)
from services.subscriptions.domain.tax_settings import TaxSettings
from services.subscriptions.rejections import as_rejection, require_customer
from services.subscriptions.repository.catalog import load_catalog
from services.subscriptions.repository.subscriptions import lock_customer, subscription_by_stripe_id
from services.subscriptions.service import service
from services.subscriptions.snapshots import subscription_snapshot, write_period
from services.subscriptions.state_changes import change_subscription, emit_customer
from services.subscriptions.stripe.client import StripeGateway, stripe_rejections
from services.subscriptions.stripe.payment_methods import saved_payment_method
from shared.errors import Rejected
from shared.messaging.external_command import ExternalCommandSteps
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m

INVOICE_DUE_DAYS = 30
"""Days until a sent invoice is due; the most common term."""

START_AHEAD_MAX = timedelta(days=36_525)
"""A hundred years: periods are counted from their start, and Python's dates end with the year 9999."""


class CreationIntent(CheckoutIntent):
    """A subscription to create in Stripe; its plans are reserved for the customer as by a checkout."""

    collection: Literal["automatic", "invoice"]


@dataclass(frozen=True, slots=True)
class SubscriptionCreation:
    """The creation of one subscription."""

    steps: ExternalCommandSteps
    command: m.CreateSubscription
    stripe: StripeGateway
    trials: Trials

    async def run(self) -> m.SubscriptionFound:
        """Create the subscription; raises Rejected with the codes of the command."""
        if self.command.collection == "none" or await self._is_free():
            return await self.steps.record(self._start_self_managed)
        intent = await self.steps.intend(self._plan, CreationIntent)
        try:
            stripe_customer_id = await self._stripe_customer(intent)
            made = await self._create(intent, stripe_customer_id)
        except Rejected:
            await self._release(intent)
            raise
        return await self.steps.record(lambda work: self._record(work, intent, made))

    async def _is_free(self) -> bool:
        """Whether the price is free, so that Stripe is not needed; a price's model never changes."""
        steps = self.steps
        async with steps.transactions.read(asked=self.command.name, now=steps.received_at) as work:
            price = (await load_catalog(work)).price(self.command.items[0].price)
        return price is not None and price.model == "free"

    async def _start_self_managed(self, work: UnitOfWork) -> m.SubscriptionFound:
        customer = await require_customer(work, self.command.customer)
        catalog = await load_catalog(work)
        lines = self._lines(catalog)
        await require_not_subscribed(work, customer.customer, exclusive_codes(catalog, lines))
        days = 0 if all(line.price.model == "free" for line in lines) else self.command.trial_days or 0
        state = initial_state(catalog, lines, self._start(), days)
        row = new_subscription(work, customer)
        write_period(row, initial_anchor(state), billing_interval(lines[0].price))
        await change_subscription(work, row, state, is_new=True)
        return m.SubscriptionFound(subscription=subscription_snapshot(row))

    def _start(self) -> datetime:
        start, now = self.command.period_start or self.steps.received_at, self.steps.received_at
        if start > now + START_AHEAD_MAX:
            raise Rejected(
                "invalid_message",
                f"A period begins at most {START_AHEAD_MAX.days} days from now.",
                {"field": "period_start"},
            )
        return start

    async def _plan(self, work: UnitOfWork) -> CreationIntent:
        """Check the order and reserve its plans."""
        lines = self._lines(await load_catalog(work))
        self.stripe.require()
        if self.command.period_start is not None:
            raise Rejected(
                "invalid_message",
                "Only what is collected outside can have a period of its own.",
                {"field": "period_start"},
            )
        customer = await require_customer(work, self.command.customer)
        held = await hold_order(work, customer, lines, self.trials, wanted=None)
        days = self.command.trial_days
        terms = held.model_dump() | ({} if days is None else {"trial_days": days})
        return CreationIntent(**terms, collection=self._collection())

    def _collection(self) -> Literal["automatic", "invoice"]:
        return "invoice" if self.command.collection == "invoice" else "automatic"

    def _lines(self, catalog: CatalogView) -> list[Line]:
        prices = [catalog.price(item.price) for item in self.command.items]
        free = all(price is not None and price.model == "free" for price in prices)
        return as_rejection(lambda: order_lines(catalog, self.command.items, free=free))

    async def _stripe_customer(self, intent: CreationIntent) -> str:
        if intent.stripe_customer_id is not None:
            return intent.stripe_customer_id
        made = await self.stripe.create_customer(
            intent.customer, email=intent.email, name=intent.name, key=self.steps.key("customer")
        )
        return made.stripe_customer_id

    async def _create(self, intent: CreationIntent, stripe_customer_id: str) -> StripeSubscription:
        method = None
        if intent.collection == "automatic":
            saved = await saved_payment_method(self.stripe, stripe_customer_id)
            method = saved.explicit_id if saved is not None else None
            if saved is None and not intent.trial_days:
                raise Rejected(
                    "payment_method_required",
                    "The customer has saved nothing that could be charged. Use start_checkout.",
                    {"customer": intent.customer},
                )
        params = subscription_params(intent, stripe_customer_id, method, self.stripe.tax)
        return await _create_in_stripe(self.stripe, params, self.steps.key("subscription"))

    async def _record(
        self, work: UnitOfWork, intent: CreationIntent, made: StripeSubscription
    ) -> m.SubscriptionFound:
        customer = await lock_customer(work.session, intent.customer)
        if customer is None:
            raise RuntimeError("customers are never deleted, but this one is gone")
        if customer.stripe_customer_id is None:
            await link_stripe_customer(work, customer, made.stripe_customer_id)
            emit_customer(work, customer, "updated")
        # Its event may have arrived before Stripe's answer.
        await adopt_subscription(work, customer, made, await load_catalog(work))
        row = await subscription_by_stripe_id(work.session, made.stripe_subscription_id)
        if row is None:
            raise RuntimeError(f"{made.stripe_subscription_id} was recorded but its row is missing")
        return m.SubscriptionFound(subscription=subscription_snapshot(row))

    async def _release(self, intent: CreationIntent) -> None:
        """Release the plans of a creation that Stripe rejected."""
        steps = self.steps
        async with steps.transactions.begin(caused_by=self.command.command_id, now=steps.received_at) as work:
            await release_checkout(work, intent.customer, intent.checkout_id)


@service.external_command(m.CreateSubscription)
async def create_subscription(
    steps: ExternalCommandSteps, command: m.CreateSubscription, stripe: StripeGateway, trials: Trials
) -> m.SubscriptionFound:
    """Create a subscription: in Stripe, unless it is free or paid outside."""
    return await SubscriptionCreation(steps, command, stripe, trials).run()


def subscription_params(
    intent: CreationIntent, stripe_customer_id: str, method: str | None, tax: TaxSettings
) -> dict[str, Any]:
    """Return Stripe's parameters of a new subscription; metadata carries our ids for its events."""
    params: dict[str, Any] = {
        "customer": stripe_customer_id,
        "items": [item_params(line, tax) for line in intent.lines],
        "metadata": {CHECKOUT_ID_KEY: intent.checkout_id, CUSTOMER_KEY: intent.customer},
        **tax.of_owner(),
    }
    if intent.trial_days:
        params["trial_period_days"] = intent.trial_days
    if intent.collection == "invoice":
        return params | {"collection_method": "send_invoice", "days_until_due": INVOICE_DUE_DAYS}
    if intent.trial_days:
        params["trial_settings"] = {"end_behavior": {"missing_payment_method": "cancel"}}
    params["payment_behavior"] = "error_if_incomplete"
    return params | ({"default_payment_method": method} if method else {})


async def _create_in_stripe(gateway: StripeGateway, params: dict[str, Any], key: str) -> StripeSubscription:
    async with gateway.calls(), stripe_rejections():
        try:
            made = await gateway.api.subscriptions.create_async(
                params,  # type: ignore[arg-type]
                {"idempotency_key": key},
            )
        except sdk.CardError as error:
            raise Rejected(
                "payment_failed",
                f"The first payment failed: {error.user_message or error}",
                {"stripe_code": error.code},
            ) from error
        return read_subscription(made.to_dict())
