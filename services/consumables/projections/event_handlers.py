"""What the events of other services do here: units come, go along, stay away, and end.

Each event is taken note of first, in one transaction with what follows from it for access; then what is due
is settled, in batches of its own where there may be very much of it.
"""

from collections.abc import Sequence

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
from shared.messaging.feed_consumer import Begin
from shared.persistence.unit_of_work import Work
from tallystick.messages.seats import SeatSnapshot, TeamSnapshot
from tallystick.messages.subscriptions import CustomerSnapshot, SubscriptionSnapshot


async def follow_subscription(begin: Begin, told: SubscriptionSnapshot) -> None:
    """Grant what a subscription gives now; at its end, end what it gave and nothing else."""
    async with begin() as work:
        await know_subscription(work, told)
        await suspend_customer(work, told.customer.token)
        # A period that is told has begun, even where the clock, as a test clock may, says that it has not.
        at = max(work.now, told.current_period_start or work.now)
        overrides = await follow_rhythm(work, told.customer.token, at)
    for subscription_id in (told.subscription_id, *overrides):
        await settle_all(begin, at, subscription_id=subscription_id)


async def follow_customer(work: Work, told: CustomerSnapshot) -> None:
    """Grant what overrides give the customer, and not what they take away, while they are in force."""
    if await know_customer(work, told):
        await suspend_customer(work, told.token)
        await settle(work, work.now, accounts=[f"customer:{told.token}"])


async def follow_team(begin: Begin, told: TeamSnapshot) -> None:
    """Open a team's pool to those who may draw on it; suspend or restore all its accounts."""
    async with begin() as work:
        if await know_team(work, told):
            await give_access_to_pool(work, told)
            await suspend_team(work, told.team_id, is_suspended=told.suspended)
        await settle(work, work.now, accounts=[f"team:{told.team_id}"])


async def follow_seats(work: Work, told: Sequence[SeatSnapshot]) -> None:
    """Grant claimed seats their units, and take from revoked ones all they have."""
    news = await know_seats(work, told)
    await give_access_to_seats(work, news)
    revoked = [f"seat:{seat['seat_id']}" for seat in news if seat["status"] == "revoked"]
    if revoked:
        await end_accounts(work, revoked)
    claimed = [f"seat:{seat['seat_id']}" for seat in news if seat["status"] == "claimed"]
    if claimed:
        await settle(work, work.now, accounts=claimed)
