"""Giving running subscriptions the tax rates that have replaced theirs in the catalog."""

from dataclasses import dataclass

import structlog

from services.subscriptions.domain.outdated_tax_rates import has_archived_rates, outdated_items
from services.subscriptions.domain.stripe_objects import StripeSubscription
from services.subscriptions.reconciliation.stripe_sync import StripeSync, subscription_pages
from services.subscriptions.repository.catalog import load_catalog
from shared.errors import Rejected

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class TaxRateReplacement:
    """One run over Stripe's subscriptions; it does nothing while the catalog has no archived tax rate."""

    sync: StripeSync

    async def run(self) -> None:
        """Replace archived tax rates, without a proration: they apply from the next invoice on."""
        async with self.sync.begin() as work:
            catalog = await load_catalog(work)
        if not has_archived_rates(catalog):
            return
        async for page in subscription_pages(self.sync.stripe):
            for subscription in page:
                if items := outdated_items(subscription, catalog):
                    await self._replace(subscription, items)

    async def _replace(self, subscription: StripeSubscription, items: dict[str, list[str]]) -> None:
        stripe_id = subscription.stripe_subscription_id
        listed = [{"id": item_id, "tax_rates": rates} for item_id, rates in items.items()]
        change = {"items": listed, "proration_behavior": "none"}
        key = f"tax_rates/{stripe_id}/{self.sync.at.isoformat()}"
        try:
            await self.sync.stripe.update_subscription(stripe_id, change, key=key)
        except Rejected as rejection:
            # The next run tries again; others must not wait for this one.
            log.warning("tax rates not replaced", stripe_subscription_id=stripe_id, error=str(rejection))
