"""What is followed of the feed: teams and seats, and this service's own subscriptions for their holders."""

from collections.abc import Sequence

from services.subscriptions.seats import noting
from services.subscriptions.service import service
from shared.following import Begin, EventName
from shared.work import Work
from tallystick.messages.seats import SeatEvent, TeamEvent
from tallystick.messages.subscriptions import SubscriptionEvent

OF_LITTLE_NEWS = frozenset({"renewed", "renewalUpcoming", "trialEnding", "cardExpiring"})
"""What is told of a hundred thousand subscriptions on the first of a month. None of these takes away the
seats of a product: where it has none, nobody need be looked for."""


@service.event(SeatEvent, together=True)
async def note_seats(work: Work, events: Sequence[SeatEvent]) -> None:
    """Whoever gains or loses a seat gains or loses what it gives."""
    await noting.note_seats(work, events)


@service.event(TeamEvent, in_parts=True)
async def note_team(begin: Begin, event: TeamEvent) -> None:
    """A team that is suspended, restored or closed takes its members along."""
    await noting.note_team(begin, event)


@service.event(SubscriptionEvent, in_parts=True)
async def note_subscription(begin: Begin, event: SubscriptionEvent, name: EventName) -> None:
    """What a subscription gives to its team has changed, perhaps."""
    has_seats = any(item.seats is not None for item in event.subscription.items)
    if has_seats or name not in OF_LITTLE_NEWS:
        await noting.note_subscription(begin, event)
