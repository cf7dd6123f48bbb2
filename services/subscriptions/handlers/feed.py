"""What is followed of the feed, teams and seats, and what is done for holders when a subscription changes."""

from collections.abc import Sequence
from functools import partial

from services.subscriptions.entitlements import seat_holders
from services.subscriptions.service import service
from shared.messaging.external_command import Steps
from shared.messaging.feed_consumer import Begin
from shared.persistence.unit_of_work import Work
from tallystick.messages.seats import SeatEvent, TeamEvent
from tallystick.messages.subscriptions import RefreshSeats, SeatsRefreshed


@service.event(SeatEvent, name="note_seats", together=True)
async def note_seats(work: Work, events: Sequence[SeatEvent]) -> None:
    """Whoever gains or loses a seat gains or loses what it gives."""
    await seat_holders.note_seats(work, events)


@service.event(TeamEvent, name="note_team", in_parts=True)
async def note_team(begin: Begin, event: TeamEvent) -> None:
    """A team that is suspended, restored or closed takes its members along."""
    await seat_holders.note_team(begin, event)


@service.external_command(RefreshSeats)
async def refresh_seats(steps: Steps, command: RefreshSeats) -> SeatsRefreshed:
    """What a subscription gives to its team has changed; done in parts, and all over again after a crash."""
    begin = partial(steps.transactions.begin, caused_by=command.caused_by, now=steps.received_at)
    await seat_holders.refresh_seats(begin, command.subscription_id)
    return SeatsRefreshed(subscription_id=command.subscription_id)
