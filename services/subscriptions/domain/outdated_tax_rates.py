"""Items of subscriptions whose tax rates the catalog has replaced."""

from services.subscriptions.domain.catalog.catalog_view import CatalogView
from services.subscriptions.domain.stripe_objects import StripeItem, StripeSubscription


def outdated_items(subscription: StripeSubscription, catalog: CatalogView) -> dict[str, list[str]]:
    """Return the tax rates that items get instead of archived ones, by the items' Stripe ids.

    Left alone are rates that are not all from the catalog, prices that have no rates now, automatic tax, and
    subscriptions with a schedule, whose phases have tax rates of their own.
    """
    if subscription.automatic_tax or subscription.schedule_id is not None:
        return {}
    wanted = {item.stripe_item_id: _replacement(item, catalog) for item in subscription.items}
    return {item_id: rates for item_id, rates in wanted.items() if rates}


def has_archived_rates(catalog: CatalogView) -> bool:
    """Return whether the catalog has replaced any tax rate."""
    return any(rate.archived for rate in catalog.tax_rates.values())


def _replacement(item: StripeItem, catalog: CatalogView) -> list[str]:
    known = [catalog.tax_rate_by_stripe_id(rate_id) for rate_id in item.tax_rates]
    price = catalog.price_by_stripe_id(item.stripe_price_id)
    if price is None or any(rate is None for rate in known):
        return []
    is_outdated = any(rate is not None and rate.archived for rate in known)
    return catalog.stripe_tax_rates(price.tax_rates) if is_outdated else []
