"""`purchase_add_on`: plan the purchase, and record the add-on or its checkout page."""

from services.subscriptions.add_ons.state_changes import add_on_snapshot
from services.subscriptions.add_ons.stripe_purchase import PurchaseIntent, StripePurchase, purchase_in_stripe
from services.subscriptions.customers.stripe_link import (
    adopt_subscription,
    link_stripe_customer,
    new_subscription,
)
from services.subscriptions.domain.add_ons import require_add_on_price, require_plan, validate_details
from services.subscriptions.domain.billing_periods import billing_interval
from services.subscriptions.domain.orders import Line
from services.subscriptions.domain.self_managed_periods import initial_state
from services.subscriptions.domain.stripe_objects import StripeSubscription
from services.subscriptions.rejections import as_rejection, require_customer
from services.subscriptions.repository.add_ons import find_add_on
from services.subscriptions.repository.catalog import load_catalog
from services.subscriptions.repository.subscriptions import live_subscriptions
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
    purchase = await purchase_in_stripe(stripe, command, intent, steps)
    return await steps.record(lambda work: record_purchase(work, command, intent, purchase))


async def plan_purchase(work: UnitOfWork, command: m.PurchaseAddOn, stripe: StripeGateway) -> PurchaseIntent:
    """Check the order and store the details.

    Raises Rejected `not_found`, `unknown_price`, `not_an_add_on`, `add_on_details_required`,
    `no_active_subscription` and `payments_not_configured`.
    """
    customer = await require_customer(work, command.customer)
    catalog = await load_catalog(work)
    price, product = as_rejection(lambda: require_add_on_price(catalog, command.price))
    details = as_rejection(lambda: validate_details(product, command.details))
    live = [state_from_row(row) for row in await live_subscriptions(work.session, customer.customer)]
    add_ons = frozenset(code for code, each in catalog.products.items() if each.kind == "add_on")
    as_rejection(lambda: require_plan(live, add_ons))
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
    return PurchaseIntent(
        add_on_id=row.add_on_id,
        checkout_id=new_id("checkout"),
        customer=customer.customer,
        email=customer.email,
        name=customer.name,
        stripe_customer_id=customer.stripe_customer_id,
        stripe_price_id=_stripe_price_id(price),
        # The installation's default trial applies to plans only.
        trial_days=price.trial_days or 0,
    )


async def record_free(work: UnitOfWork, command: m.PurchaseAddOn, intent: PurchaseIntent) -> m.AddOnPurchased:
    """Start a free add-on at once."""
    customer = await require_customer(work, command.customer)
    catalog = await load_catalog(work)
    price, product = as_rejection(lambda: require_add_on_price(catalog, command.price))
    add_on = await _require_planned_add_on(work, intent)
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
    return _record_page(work, customer, intent, purchase.page)


async def _record_paid(
    work: UnitOfWork, customer: CustomerRow, intent: PurchaseIntent, subscription: StripeSubscription
) -> m.AddOnPurchased:
    await adopt_subscription(work, customer, subscription, await load_catalog(work))
    return m.AddOnPurchased(add_on=add_on_snapshot(await _require_planned_add_on(work, intent)))


def _record_page(
    work: UnitOfWork, customer: CustomerRow, intent: PurchaseIntent, page: CheckoutPage
) -> m.AddOnPurchased:
    work.session.add(
        CheckoutRow(
            checkout_id=intent.checkout_id,
            customer=customer.customer,
            status="open",
            plans=[],
            expires_at=page.expires_at,
            stripe_checkout_id=page.stripe_checkout_id,
            url=page.url,
            created_at=work.now,
        )
    )
    return m.AddOnPurchased(checkout_url=page.url, checkout_id=intent.checkout_id, expires_at=page.expires_at)


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
