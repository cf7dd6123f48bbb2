"""Handlers of other services' events, which update projections, access and suspension and grant due units.

A first transaction updates the projection and the access to accounts. Due units are then granted in the same
transaction, or in batches of their own if there may be many.
"""

from services.consumables.grants.expiry import end_accounts
from services.consumables.grants.renewal import grant_all_due, grant_due
from services.consumables.overage.charges import charge_ended_periods
from services.consumables.projections.account_access import (
    suspend_after_grace,
    suspend_customer,
    suspend_team,
    update_pool_access,
    update_seat_access,
)
from services.consumables.projections.entities import project_seats, project_subscription, project_team
from services.consumables.projections.overrides import follow_plan_cycles, project_customer
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
    """Project a subscription and grant its due units; when it has ended, end its grants."""
    snapshot = event.subscription
    async with begin() as work:
        await project_subscription(work, snapshot)
        await suspend_customer(work, snapshot.customer.token)
        await suspend_after_grace(work, snapshot.subscription_id)
        # The period in an event has begun, even if the clock (a test clock, for example) is before it.
        at = max(work.now, snapshot.current_period_start or work.now)
        overrides = await follow_plan_cycles(work, snapshot.customer.token, at)
    for subscription_id in (snapshot.subscription_id, *overrides):
        await grant_all_due(begin, at, subscription_id=subscription_id)
    async with begin() as work:
        await charge_ended_periods(work, snapshot.customer.token)


@service.event(CustomerEvent, name="note_customer")
async def note_customer(work: UnitOfWork, event: CustomerEvent) -> None:
    """Project a customer's overrides, and apply them to the customer's own account."""
    snapshot = event.customer
    if await project_customer(work, snapshot):
        await suspend_customer(work, snapshot.token)
        await grant_due(work, work.now, accounts=[f"customer:{snapshot.token}"])


@service.event(TeamEvent, name="note_team", in_parts=True)
async def note_team(begin: Begin, event: TeamEvent) -> None:
    """Project a team, update the access to its pool, and suspend or restore its accounts."""
    snapshot = event.billing_team
    async with begin() as work:
        if await project_team(work, snapshot):
            await update_pool_access(work, snapshot)
            await suspend_team(work, snapshot.team_id, is_suspended=snapshot.suspended)
            await suspend_after_grace(work, snapshot.subscription_id)
        await grant_due(work, work.now, accounts=[f"team:{snapshot.team_id}"])


@service.event(SeatEvent, name="note_seats", together=True)
async def note_seats(work: UnitOfWork, events: list[SeatEvent]) -> None:
    """Project seats, grant the units of claimed ones, and end the grants of revoked ones."""
    snapshots = [event.seat for event in events]
    changed = await project_seats(work, snapshots)
    await update_seat_access(work, changed)
    revoked = [f"seat:{seat['seat_id']}" for seat in changed if seat["status"] == "revoked"]
    if revoked:
        await end_accounts(work, revoked)
    claimed = [f"seat:{seat['seat_id']}" for seat in changed if seat["status"] == "claimed"]
    if claimed:
        await grant_due(work, work.now, accounts=claimed)
