"""Counts of everything that monitoring knows, as a snapshot has them."""

from typing import Any

from shared.messaging.service_client import ServiceClient
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.consumables import FeatureTotals

COUNTS = """
    SELECT
        (SELECT count(*) FROM monitoring.known_customers) AS customers,
        (SELECT coalesce(jsonb_object_agg(status, number), '{}') FROM (
            SELECT status, count(*) AS number FROM monitoring.known_subscriptions GROUP BY status) AS counted
        ) AS subscriptions,
        (SELECT coalesce(jsonb_object_agg(product, number), '{}') FROM (
            SELECT product, count(*) AS number FROM monitoring.known_subscriptions
            LEFT JOIN monitoring.known_products ON code = product
            WHERE status NOT IN ('canceled', 'expired', 'incomplete') AND kind IS DISTINCT FROM 'add_on'
            GROUP BY product) AS counted
        ) AS products,
        (SELECT coalesce(jsonb_object_agg(feature, number), '{}') FROM (
            SELECT feature, count(*) AS number FROM monitoring.known_subscriptions,
                LATERAL unnest(unlimited) AS feature
            WHERE status NOT IN ('canceled', 'expired', 'incomplete') GROUP BY feature) AS counted
        ) AS unlimited,
        (SELECT count(*) FROM monitoring.known_add_ons
            WHERE status NOT IN ('canceled', 'expired', 'incomplete')) AS add_ons,
        (SELECT jsonb_build_object(
            'capacity', coalesce(sum(capacity), 0), 'occupied', coalesce(sum(occupied), 0))
            FROM monitoring.known_teams WHERE status = 'open') ||
        (SELECT jsonb_build_object(
            'pending', count(*) FILTER (WHERE status = 'pending'),
            'claimed', count(*) FILTER (WHERE status = 'claimed'))
            FROM monitoring.known_seats) AS seats
"""


async def count_everything(work: UnitOfWork) -> dict[str, Any]:
    """Return the counts by the names of the fields of the message `Snapshot`."""
    cursor = await work.driver.execute(COUNTS)
    row = await cursor.fetchone()
    assert row is not None
    names = ("customers", "subscriptions", "products", "unlimited", "add_ons", "seats")
    return dict(zip(names, row, strict=True))


async def load_feature_totals(client: ServiceClient) -> dict[str, dict[str, Any]]:
    """Ask `consumables` for the totals of features, by code; raises Unavailable without an answer."""
    answer = await client.ask(FeatureTotals())
    return {code: total.model_dump(mode="json") for code, total in answer.features.items()}
