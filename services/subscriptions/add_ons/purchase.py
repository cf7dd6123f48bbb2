"""`purchase_add_on`: plan the purchase, and record the add-on or its checkout page."""

from datetime import datetime

from services.subscriptions.add_ons.exclusivity import require_not_owned, reserve
from services.subscriptions.add_ons.state_changes import add_on_snapshot
from services.subscriptions.add_ons.stripe_purchase import PurchaseIntent, StripePurchase, purchase_in_stripe
from services.subscriptions.checkout.start_checkout import CHECKOUT_LIFETIME, release_checkout
from services.subscriptions.customers.stripe_link import (
    adopt_subscription,
    link_stripe_customer,
    new_subscription,
)
from services.subscriptions.domain.add_ons import require_add_on_price, require_plan, validate_details
from services.subscriptions.domain.billing_periods import billing_interval
from services.subscriptions.domain.orders import Line
from services.subscriptions.domain.pricing import free_of_charge
from services.subscriptions.domain.self_managed_periods import initial_state
from services.subscriptions.domain.stripe_objects import StripeSubscription
from services.subscriptions.rejections import as_rejection, require_agreed_amount, require_customer
from services.subscriptions.repository.add_ons import find_add_on
from services.subscriptions.repository.catalog import load_catalog
from services.subscriptions.repository.subscriptions import find_checkout, live_subscriptions
from services.subscriptions.service import service
from services.subscriptions.snapshots import state_from_row, write_period
from services.subscriptions.state_changes import change_subscription, emit_customer
from services.subscriptions.stripe.client import CheckoutPage, StripeGateway
from services.subscriptions.tables.add_ons import AddOnRow
from services.subscriptions.tables.subscriptions import CheckoutRow, CustomerRow
from shared.errors import Rejected
from shared.ids import new_id
from shared.messaging.external_command import ExternalCommandSteps
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m
from tallystick.messages.catalog import Price


@service.external_command(m.PurchaseAddOn)
async def purchase_add_on(
    steps: ExternalCommandSteps, command: m.PurchaseAddOn, stripe: StripeGateway
) -> m.AddOnPurchased:
    """Store the details, buy in Stripe, and write the result; a free add-on needs no Stripe."""
    intent = await steps.intend(lambda work: plan_purchase(work, command, stripe), PurchaseIntent)
    if intent.stripe_price_id is None:
        return await steps.record(lambda work: record_free(work, command, intent))
    try:
        purchase = await purchase_in_stripe(stripe, command, intent, steps)
    except Rejected:
        async with steps.transactions.begin(caused_by=command.command_id, now=steps.received_at) as work:
            await release_checkout(work, intent.customer, intent.checkout_id)
        raise
    return await steps.record(lambda work: record_purchase(work, command, intent, purchase))


async def plan_purchase(work: UnitOfWork, command: m.PurchaseAddOn, stripe: StripeGateway) -> PurchaseIntent:
    """Check the order, store the details, and reserve an add-on that can be bought only once.

    Raises Rejected `not_found`, `unknown_price`, `not_an_add_on`, `add_on_details_required`,
    `no_active_subscription`, `already_subscribed` and `payments_not_configured`.
    """
    customer = await require_customer(work, command.customer)
    catalog = await load_catalog(work)
    price, product = as_rejection(lambda: require_add_on_price(catalog, command.price))
    details = as_rejection(lambda: validate_details(product, command.details))
    live = [state_from_row(row) for row in await live_subscriptions(work.session, customer.customer)]
    add_ons = frozenset(code for code, each in catalog.products.items() if each.kind == "add_on")
    as_rejection(lambda: require_plan(live, add_ons))
    reserved = await reserve(work, customer.customer, catalog, price, details)
    if price.model != "free":
        stripe.require()
    row = AddOnRow(
        add_on_id=new_id("addon"),
        customer=customer.customer,
        version=0,
        product=product.code,
        price=price.code,
        details=details,
        status="incomplete",
        created_at=work.now,
    )
    work.session.add(row)
    checkout_id = new_id("checkout")
    if price.model != "free":
        work.session.add(_checkout(checkout_id, customer.customer, reserved, work.now))
    return PurchaseIntent(
        add_on_id=row.add_on_id,
        checkout_id=checkout_id,
        customer=customer.customer,
        email=customer.email,
        name=customer.name,
        stripe_customer_id=customer.stripe_customer_id,
        stripe_price_id=_stripe_price_id(price),
        tax_rates=catalog.stripe_tax_rates(price.tax_rates),
        # The installation's default trial applies to plans only.
        trial_days=price.trial_days or 0,
    )


async def record_free(work: UnitOfWork, command: m.PurchaseAddOn, intent: PurchaseIntent) -> m.AddOnPurchased:
    """Start a free add-on at once."""
    customer = await require_customer(work, command.customer)
    catalog = await load_catalog(work)
    price, product = as_rejection(lambda: require_add_on_price(catalog, command.price))
    require_agreed_amount(command.due_now, free_of_charge(price))
    add_on = await _require_planned_add_on(work, intent)
    await require_not_owned(work, customer.customer, catalog, price, add_on.details)
    row = new_subscription(work, customer)
    write_period(row, work.now, billing_interval(price))
    add_on.subscription_id = row.subscription_id
    state = initial_state(catalog, [Line(price, product, 1)], work.now)
    await change_subscription(work, row, state, is_new=True)
    return m.AddOnPurchased(add_on=add_on_snapshot(add_on))


async def record_purchase(
    work: UnitOfWork, command: m.PurchaseAddOn, intent: PurchaseIntent, purchase: StripePurchase
) -> m.AddOnPurchased:
    """Write the purchased add-on, or return the checkout page where it can be paid for."""
    customer = await require_customer(work, command.customer)
    if customer.stripe_customer_id is None:
        await link_stripe_customer(work, customer, purchase.stripe_customer_id)
        emit_customer(work, customer, "updated")
    if purchase.subscription is not None:
        return await _record_paid(work, customer, intent, purchase.subscription)
    if purchase.page is None:
        raise RuntimeError("a purchase is either paid for or has a page")
    return await _record_page(work, customer, intent, purchase.page)


async def _record_paid(
    work: UnitOfWork, customer: CustomerRow, intent: PurchaseIntent, subscription: StripeSubscription
) -> m.AddOnPurchased:
    await adopt_subscription(work, customer, subscription, await load_catalog(work))
    return m.AddOnPurchased(add_on=add_on_snapshot(await _require_planned_add_on(work, intent)))


async def _record_page(
    work: UnitOfWork, customer: CustomerRow, intent: PurchaseIntent, page: CheckoutPage
) -> m.AddOnPurchased:
    checkout = await find_checkout(work.session, checkout_id=intent.checkout_id)
    if checkout is None:  # planned by a version that did not reserve anything
        checkout = _checkout(intent.checkout_id, customer.customer, [], work.now)
        work.session.add(checkout)
    checkout.stripe_checkout_id, checkout.url, checkout.expires_at = (
        page.stripe_checkout_id,
        page.url,
        page.expires_at,
    )
    return m.AddOnPurchased(checkout_url=page.url, checkout_id=intent.checkout_id, expires_at=page.expires_at)


def _checkout(checkout_id: str, customer: str, reserved: list[str], now: datetime) -> CheckoutRow:
    return CheckoutRow(
        checkout_id=checkout_id,
        customer=customer,
        status="open",
        plans=reserved,
        expires_at=now + CHECKOUT_LIFETIME,
        created_at=now,
    )


async def _require_planned_add_on(work: UnitOfWork, intent: PurchaseIntent) -> AddOnRow:
    await work.session.flush()
    row = await find_add_on(work.session, intent.add_on_id)
    if row is None:
        raise RuntimeError(f"{intent.add_on_id} was planned but is gone")
    return row


def _stripe_price_id(price: Price) -> str | None:
    if price.model != "free" and price.stripe_price_id is None:
        raise Rejected(
            "unknown_price",
            f"Stripe does not know {price.code!r} yet. Apply the catalog again.",
            {"price": price.code},
        )
    return price.stripe_price_id
