"""Projection of prices: what they cost, and what subscriptions that were heard before cost with them."""

from collections.abc import Sequence

from services.monitoring.revenue.contents import price_terms, read_terms
from services.monitoring.revenue.histories import LOCK_PRICES, reprice
from services.monitoring.service import service
from services.monitoring.tables import KnownPrice
from shared.messaging.feed_consumer import keep_newest_of
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import catalog as c

SELECT_KNOWN = "SELECT code FROM monitoring.known_prices WHERE code = ANY(%s)"
SELECT_WAITING = """
    SELECT DISTINCT owner FROM monitoring.histories, LATERAL jsonb_array_elements(content -> 'items') AS item
    WHERE entity = 'subscription' AND item ->> 'price' = ANY(%s)
"""


@service.event(c.PriceEvent, name="follow_prices", together=True)
async def follow_prices(work: UnitOfWork, events: list[c.PriceEvent]) -> None:
    """Project what prices cost."""
    await project_prices(work, [event.price for event in events])


async def project_prices(work: UnitOfWork, found: Sequence[c.Price]) -> None:
    """Project what prices cost.

    What a price costs never changes, so only a price that is new can change what subscriptions are worth:
    those whose events came before the price's own.
    """
    await work.driver.execute(LOCK_PRICES)
    prices = {price.code: price for price in found}
    cursor = await work.driver.execute(SELECT_KNOWN, (sorted(prices),))
    new = sorted(prices.keys() - {code for (code,) in await cursor.fetchall()})
    if new:
        cursor = await work.driver.execute(SELECT_WAITING, (new,))
        owners = [owner for (owner,) in await cursor.fetchall()]
        await reprice(work, owners, {code: read_terms(price_terms(prices[code])) for code in new})
    rows = [
        {
            "code": price.code,
            "version": price.version,
            "product": price.product,
            "terms": price_terms(price),
        }
        for price in found
    ]
    await keep_newest_of(work, KnownPrice, rows)
