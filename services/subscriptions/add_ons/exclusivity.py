"""Refusing to sell an add-on twice if the second one would add nothing."""

from collections.abc import Mapping

from services.subscriptions.checkout.start_checkout import require_no_open_checkout
from services.subscriptions.domain.add_ons import exclusive_key
from services.subscriptions.domain.catalog_lookup import CatalogLookup
from services.subscriptions.domain.orders import find_subscription_with_plan
from services.subscriptions.repository.add_ons import live_add_ons
from services.subscriptions.repository.subscriptions import live_states
from shared.errors import Rejected
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.catalog import Price, Product


async def require_not_owned(
    work: UnitOfWork, token: str, catalog: CatalogLookup, price: Price, details: Mapping[str, str]
) -> None:
    """Raise Rejected `already_subscribed` if the customer has the add-on and another one adds nothing."""
    key = exclusive_key(catalog, price, details)
    if key is None:
        return
    product = catalog.product_of(price)
    for owned in await live_add_ons(work.session, token, product.code):
        if exclusive_key(catalog, price, owned.details) == key:
            raise _already_owned(
                product, {"add_on_id": owned.add_on_id, "subscription_id": owned.subscription_id}
            )
    if product.required_details:
        return
    live = [(subscription_id, state) for _, subscription_id, state in await live_states(work, [token])]
    if held := find_subscription_with_plan([product.code], live):
        raise _already_owned(product, {"subscription_id": held})


async def reserve(
    work: UnitOfWork, token: str, catalog: CatalogLookup, price: Price, details: Mapping[str, str]
) -> list[str]:
    """Return what a checkout of the add-on reserves.

    Raises Rejected `already_subscribed` if the customer has it or is just buying it.
    """
    await require_not_owned(work, token, catalog, price, details)
    key = exclusive_key(catalog, price, details)
    reserved = [] if key is None else [key]
    await require_no_open_checkout(work, token, reserved)
    return reserved


def _already_owned(product: Product, details: dict[str, str | None]) -> Rejected:
    return Rejected(
        "already_subscribed",
        f"The customer has {product.name} already, and a second one would add nothing.",
        dict(details),
    )
