"""Questions about capacity: what is sold and used now."""

from dataclasses import asdict
from typing import Any

from services.monitoring.domain.capacity import Tier, current_tier, uses
from services.monitoring.domain.rounding import percent
from services.monitoring.service import service
from services.monitoring.settings import Tiers
from services.monitoring.snapshots.counts import count_everything, load_feature_totals
from services.monitoring.snapshots.resources import newest_readings
from shared.messaging.service_client import ServiceClient
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import monitoring as m


@service.question(m.GetSubscriptionCapacity)
async def get_subscription_capacity(
    work: UnitOfWork, _: m.GetSubscriptionCapacity, client: ServiceClient
) -> m.SubscriptionCapacity:
    """Return the use of every limit and consumable; raises Unavailable if their totals are not to be had."""
    return await _subscription_capacity(await count_everything(work), client)


@service.question(m.GetCapacity)
async def get_capacity(work: UnitOfWork, _: m.GetCapacity, client: ServiceClient, tiers: Tiers) -> m.Capacity:
    """Return what is sold, used and stored now, and the machines that fit it."""
    counts = await count_everything(work)
    seats = m.SeatCounts.model_validate(counts["seats"])
    return m.Capacity(
        captured_at=work.now,
        customers=counts["customers"],
        subscriptions=await _subscription_capacity(counts, client),
        seats=seats,
        seat_utilization_percent=percent(seats.occupied, seats.capacity, 1),
        resources=await newest_readings(work, work.now.date()),
        infrastructure=_infrastructure(tiers, counts["customers"]),
    )


async def _subscription_capacity(counts: dict[str, Any], client: ServiceClient) -> m.SubscriptionCapacity:
    found = uses(await load_feature_totals(client), counts["unlimited"])
    return m.SubscriptionCapacity(
        total_subscriptions=sum(counts["products"].values()),
        tier_distribution=counts["products"],
        features={
            code: m.FeatureCapacity(
                **asdict(use), utilization_percent=use.utilization_percent, headroom=use.headroom
            )
            for code, use in found.items()
        },
    )


def _infrastructure(tiers: list[Tier], customers: int) -> m.Infrastructure | None:
    tier = current_tier(tiers, customers)
    if tier is None:
        return None
    return m.Infrastructure(current=m.InfrastructureTier(**asdict(tier)), next_trigger=tier.customers_to)
