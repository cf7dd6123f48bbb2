"""Starting a checkout: check the order, open Stripe's checkout page, and record it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from services.subscriptions.customers.stripe_link import link_stripe_customer
from services.subscriptions.domain.catalog.catalog_view import CatalogView
from services.subscriptions.domain.orders import (
    Line,
    exclusive_codes,
    find_subscription_with_plan,
    order_lines,
    require_listed_prices,
    trial_days,
)
from services.subscriptions.domain.stripe_objects import CHECKOUT_ID_KEY, CUSTOMER_KEY
from services.subscriptions.domain.tax_settings import TaxSettings
from services.subscriptions.rejections import as_rejection, require_customer
from services.subscriptions.repository.catalog import load_catalog
from services.subscriptions.repository.subscriptions import (
    find_checkout,
    live_states,
    lock_customer,
    open_checkouts,
    products_ever_subscribed,
)
from services.subscriptions.service import service
from services.subscriptions.state_changes import emit_customer
from services.subscriptions.stripe.client import CheckoutPage, StripeGateway
from services.subscriptions.tables.subscriptions import CheckoutRow, CustomerRow
from shared.errors import Rejected
from shared.ids import new_id
from shared.messaging.external_command import ExternalCommandSteps
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m

CHECKOUT_LIFETIME = timedelta(hours=24)
"""Minimum time that a plan is reserved by an open checkout: Stripe's default for a session.

Stripe is given no expiry time, because a customer on a test clock has another time than we do.
"""


@dataclass(frozen=True, slots=True)
class Trials:
    """The installation's default trial, for prices without their own; None or 0: no trial."""

    default_days: int | None = None


@service.external_command(m.StartCheckout)
async def start_checkout(
    steps: ExternalCommandSteps, command: m.StartCheckout, stripe: StripeGateway, trials: Trials
) -> m.CheckoutStarted:
    """Reserve the plan, open Stripe's page, and record it; a rejection by Stripe releases the plan."""
    stripe.require()
    intent = await steps.intend(lambda work: plan_checkout(work, command, trials), CheckoutIntent)
    keys = (steps.key("customer"), steps.key("checkout"))
    try:
        opened = await open_in_stripe(stripe, command, intent, keys=keys)
    except Rejected:
        async with steps.transactions.begin(caused_by=command.command_id, now=steps.received_at) as work:
            await release_checkout(work, intent.customer, intent.checkout_id)
        raise
    return await steps.record(lambda work: record_checkout(work, intent, opened))


class LineIntent(BaseModel):
    """A line of a checkout, with Stripe's ids of its price and tax rates."""

    model_config = ConfigDict(frozen=True)

    stripe_price_id: str
    quantity: int
    tax_rates: list[str] = Field(default=[])


class CheckoutIntent(BaseModel):
    """A checkout to open."""

    model_config = ConfigDict(frozen=True)

    checkout_id: str
    customer: str
    email: str
    name: str | None
    stripe_customer_id: str | None
    lines: list[LineIntent]
    trial_days: int


class OpenedCheckout(BaseModel):
    """The Stripe customer and the checkout page that were created."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    stripe_customer_id: str
    page: CheckoutPage


async def plan_checkout(work: UnitOfWork, command: m.StartCheckout, trials: Trials) -> CheckoutIntent:
    """Check the order and reserve its plans for the customer.

    Raises Rejected `not_found`, `unknown_price`, `quantity_out_of_range`, `add_on_details_required` and
    `already_subscribed`.
    """
    row = await require_customer(work, command.customer)
    catalog = await load_catalog(work)
    lines = as_rejection(lambda: order_lines(catalog, command.items, free=False))
    as_rejection(lambda: require_listed_prices(lines))
    return await hold_order(work, row, lines, trials, wanted=command.trial)


async def hold_order(
    work: UnitOfWork, row: CustomerRow, lines: list[Line], trials: Trials, *, wanted: bool | None
) -> CheckoutIntent:
    """Reserve an order's plans for a customer, whose row is locked; `wanted` requests or refuses a trial.

    Raises Rejected `already_subscribed`.
    """
    catalog = await load_catalog(work)
    plans = exclusive_codes(catalog, lines)
    await require_not_subscribed(work, row.customer, plans)
    had = await products_ever_subscribed(work.session, row.customer)
    is_first = not any(line.product.code in had for line in lines)
    checkout = CheckoutRow(
        checkout_id=new_id("checkout"),
        customer=row.customer,
        status="open",
        plans=plans,
        expires_at=work.now + CHECKOUT_LIFETIME,
        created_at=work.now,
    )
    work.session.add(checkout)
    return CheckoutIntent(
        checkout_id=checkout.checkout_id,
        customer=row.customer,
        email=row.email,
        name=row.name,
        stripe_customer_id=row.stripe_customer_id,
        lines=[_line_intent(line, catalog) for line in lines],
        trial_days=trial_days(lines, trials.default_days, wanted=wanted, is_first=is_first),
    )


async def open_in_stripe(
    stripe: StripeGateway, command: m.StartCheckout, intent: CheckoutIntent, *, keys: tuple[str, str]
) -> OpenedCheckout:
    """Open the page, creating the Stripe customer if needed; `keys` are both calls' idempotency keys."""
    stripe_customer_id = intent.stripe_customer_id
    if stripe_customer_id is None:
        made = await stripe.create_customer(
            intent.customer, email=intent.email, name=intent.name, key=keys[0]
        )
        stripe_customer_id = made.stripe_customer_id
    promotion = await _promotion(stripe, command.promotion_code)
    params = session_params(command, intent, stripe_customer_id, promotion, stripe.tax)
    page = await stripe.create_checkout(params, key=keys[1])
    return OpenedCheckout(stripe_customer_id=stripe_customer_id, page=page)


async def record_checkout(
    work: UnitOfWork, intent: CheckoutIntent, opened: OpenedCheckout
) -> m.CheckoutStarted:
    """Record the page, and the Stripe customer if one was created."""
    row = await lock_customer(work.session, intent.customer)
    checkout = await find_checkout(work.session, checkout_id=intent.checkout_id)
    if row is None or checkout is None:
        raise RuntimeError(f"checkout {intent.checkout_id} was planned but is gone")
    if row.stripe_customer_id is None:
        await link_stripe_customer(work, row, opened.stripe_customer_id)
        emit_customer(work, row, "updated")
    page = opened.page
    checkout.stripe_checkout_id, checkout.url = page.stripe_checkout_id, page.url
    # Never shorter: Stripe's expiry event ends the reservation; this is a fallback if it never arrives.
    checkout.expires_at = max(checkout.expires_at, page.expires_at)
    return m.CheckoutStarted(
        checkout_url=page.url, checkout_id=checkout.checkout_id, expires_at=page.expires_at
    )


async def release_checkout(work: UnitOfWork, customer: str, checkout_id: str) -> None:
    """Release the plans of a checkout that Stripe rejected."""
    await lock_customer(work.session, customer)
    checkout = await find_checkout(work.session, checkout_id=checkout_id)
    if checkout is not None and checkout.status == "open":
        checkout.status = "failed"


def session_params(
    command: m.StartCheckout,
    intent: CheckoutIntent,
    stripe_customer_id: str,
    promotion: str | None,
    tax: TaxSettings,
) -> dict[str, Any]:
    """Return Stripe's parameters of a checkout session; metadata carries our ids for its events."""
    metadata = {CHECKOUT_ID_KEY: intent.checkout_id, CUSTOMER_KEY: intent.customer}
    subscription: dict[str, Any] = {"metadata": metadata}
    if intent.trial_days:
        subscription["trial_period_days"] = intent.trial_days
    params: dict[str, Any] = {
        "mode": "subscription",
        "customer": stripe_customer_id,
        "client_reference_id": intent.customer,
        "line_items": [item_params(line, tax) for line in intent.lines],
        "success_url": command.success_url,
        "cancel_url": command.cancel_url,
        "metadata": metadata,
        "subscription_data": subscription,
        **tax.of_checkout(),
    }
    return params | ({"discounts": [{"promotion_code": promotion}]} if promotion else {})


def item_params(line: LineIntent, tax: TaxSettings) -> dict[str, Any]:
    """Return Stripe's parameters of a line, of a checkout or of a new subscription."""
    return {"price": line.stripe_price_id, "quantity": line.quantity, **tax.of_item(line.tax_rates)}


async def require_not_subscribed(work: UnitOfWork, token: str, plans: list[str]) -> None:
    """Raise Rejected `already_subscribed` if the customer has a plan or an open checkout for it."""
    live = [(subscription_id, state) for _, subscription_id, state in await live_states(work, [token])]
    if held := find_subscription_with_plan(plans, live):
        raise Rejected(
            "already_subscribed",
            "The customer has this plan already. Change or cancel that subscription.",
            {"subscription_id": held},
        )
    await require_no_open_checkout(work, token, plans)


async def require_no_open_checkout(work: UnitOfWork, token: str, plans: list[str]) -> None:
    """Raise Rejected `already_subscribed` if the customer has an open checkout for one of the plans."""
    for checkout in await open_checkouts(work, token):
        if checkout.expires_at <= work.now:
            checkout.status = "expired"
        elif set(plans) & set(checkout.plans):
            raise Rejected(
                "already_subscribed",
                "A checkout for this plan is open. Let the customer finish that one, or wait for its end.",
                {
                    "checkout_id": checkout.checkout_id,
                    "checkout_url": checkout.url,
                    "expires_at": checkout.expires_at.isoformat().replace("+00:00", "Z"),
                },
            )


def _line_intent(line: Line, catalog: CatalogView) -> LineIntent:
    if line.price.stripe_price_id is None:
        raise Rejected(
            "unknown_price",
            f"Stripe does not know {line.price.code!r} yet. Apply the catalog again.",
            {"price": line.price.code},
        )
    return LineIntent(
        stripe_price_id=line.price.stripe_price_id,
        quantity=line.quantity,
        tax_rates=catalog.stripe_tax_rates(line.price.tax_rates),
    )


async def _promotion(stripe: StripeGateway, code: str | None) -> str | None:
    if code is None or code.startswith("promo_"):
        return code
    found = await stripe.find_promotion_code(code)
    if found is None:
        raise Rejected("not_found", f"There is no promotion code {code!r}.", {"promotion_code": code})
    return found
