"""What this service follows of others: features, customers, subscriptions, teams and seats."""

from services.consumables.projections.entities import know_feature
from services.consumables.projections.event_handlers import (
    follow_customer,
    follow_seats,
    follow_subscription,
    follow_team,
)
from services.consumables.service import service
from shared.messaging.feed_consumer import Begin
from shared.persistence.unit_of_work import Work
from tallystick.messages.catalog import FeatureEvent
from tallystick.messages.seats import SeatEvent, TeamEvent
from tallystick.messages.subscriptions import CustomerEvent, SubscriptionEvent


@service.event(FeatureEvent, name="note_feature")
async def note_feature(work: Work, event: FeatureEvent) -> None:
    """Know what a feature's units are and what they cost."""
    await know_feature(work, event.feature)


@service.event(CustomerEvent, name="note_customer")
async def note_customer(work: Work, event: CustomerEvent) -> None:
    """Follow the exceptions that are made for a customer."""
    await follow_customer(work, event.customer)


@service.event(SubscriptionEvent, name="note_subscription", in_parts=True)
async def note_subscription(begin: Begin, event: SubscriptionEvent) -> None:
    """Grant what a subscription gives, from its start to its end."""
    await follow_subscription(begin, event.subscription)


@service.event(TeamEvent, name="note_team", in_parts=True)
async def note_team(begin: Begin, event: TeamEvent) -> None:
    """Open a team's pool, and suspend or restore its accounts with it."""
    await follow_team(begin, event.billing_team)


@service.event(SeatEvent, name="note_seats", together=True)
async def note_seats(work: Work, events: list[SeatEvent]) -> None:
    """Grant units to claimed seats, and take them from revoked ones."""
    await follow_seats(work, [event.seat for event in events])
