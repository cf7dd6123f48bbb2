"""What the events of other services do here: units come, go along, stay away, and end.

Each event is taken note of first, in one transaction with what follows from it for access; then what is due
is settled, in batches of its own where there may be very much of it.
"""

from services.consumables.grants.expiry import end_accounts
from services.consumables.grants.renewal import settle, settle_all
from services.consumables.projections.account_access import (
    give_access_to_pool,
    give_access_to_seats,
    suspend_customer,
    suspend_team,
)
from services.consumables.projections.entities import know_seats, know_subscription, know_team
from services.consumables.projections.overrides import follow_rhythm, know_customer
from services.consumables.service import service
from shared.messaging.feed_consumer import Begin
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.seats import SeatEvent, TeamEvent
from tallystick.messages.subscriptions import (
    CustomerEvent,
    SubscriptionEvent,
)


@service.event(SubscriptionEvent, name="note_subscription", in_parts=True)
async def note_subscription(begin: Begin, event: SubscriptionEvent) -> None:
    """Grant what a subscription gives now; at its end, end what it gave and nothing else."""
    told = event.subscription
    async with begin() as work:
        await know_subscription(work, told)
        await suspend_customer(work, told.customer.token)
        # A period that is told has begun, even where the clock, as a test clock may, says that it has not.
        at = max(work.now, told.current_period_start or work.now)
        overrides = await follow_rhythm(work, told.customer.token, at)
    for subscription_id in (told.subscription_id, *overrides):
        await settle_all(begin, at, subscription_id=subscription_id)


@service.event(CustomerEvent, name="note_customer")
async def note_customer(work: UnitOfWork, event: CustomerEvent) -> None:
    """Grant what overrides give the customer, and not what they take away, while they are in force."""
    told = event.customer
    if await know_customer(work, told):
        await suspend_customer(work, told.token)
        await settle(work, work.now, accounts=[f"customer:{told.token}"])


@service.event(TeamEvent, name="note_team", in_parts=True)
async def note_team(begin: Begin, event: TeamEvent) -> None:
    """Open a team's pool to those who may draw on it; suspend or restore all its accounts."""
    told = event.billing_team
    async with begin() as work:
        if await know_team(work, told):
            await give_access_to_pool(work, told)
            await suspend_team(work, told.team_id, is_suspended=told.suspended)
        await settle(work, work.now, accounts=[f"team:{told.team_id}"])


@service.event(SeatEvent, name="note_seats", together=True)
async def note_seats(work: UnitOfWork, events: list[SeatEvent]) -> None:
    """Grant claimed seats their units, and take from revoked ones all they have."""
    told = [event.seat for event in events]
    news = await know_seats(work, told)
    await give_access_to_seats(work, news)
    revoked = [f"seat:{seat['seat_id']}" for seat in news if seat["status"] == "revoked"]
    if revoked:
        await end_accounts(work, revoked)
    claimed = [f"seat:{seat['seat_id']}" for seat in news if seat["status"] == "claimed"]
    if claimed:
        await settle(work, work.now, accounts=claimed)
