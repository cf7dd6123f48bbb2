"""Who may draw on which accounts, and which accounts are suspended, as seats and teams change.

Everybody's own account goes without saying. A seat's account is its holder's; a team's pool is drawn on by
the holders of its claimed seats, by its owner and by its billing manager.
"""

from collections.abc import Sequence
from typing import Any

from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.seats import TeamSnapshot

OPEN_TEAM = """
    INSERT INTO consumables.accounts (account, customer, suspended, created_at)
    VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
OPEN_SEATS = """
    INSERT INTO consumables.accounts (account, customer, suspended, created_at)
    SELECT 'seat:' || seat_id, known_teams.customer, known_teams.suspended, %(now)s
    FROM consumables.known_seats JOIN consumables.known_teams USING (team_id)
    WHERE status = 'claimed' AND {which}
    ORDER BY seat_id ON CONFLICT DO NOTHING
"""
CLOSE_SEATS = """
    DELETE FROM consumables.access USING consumables.known_seats
    WHERE account = 'seat:' || seat_id AND seat_id = ANY(%(seats)s)
      AND NOT (status = 'claimed' AND consumer = member)
"""
GIVE_SEATS = """
    INSERT INTO consumables.access (consumer, account)
    SELECT member, account FROM consumables.known_seats,
        LATERAL (VALUES ('seat:' || seat_id), ('team:' || team_id)) AS reached (account)
    WHERE seat_id = ANY(%(seats)s) AND status = 'claimed' AND member IS NOT NULL
    ORDER BY member, account ON CONFLICT DO NOTHING
"""
CLOSE_POOLS = """
    DELETE FROM consumables.access AS given USING consumables.known_teams AS team
    WHERE given.account = 'team:' || team.team_id AND team.team_id = ANY(%(teams)s)
      AND (
          team.closed
          OR given.consumer NOT IN (team.customer, coalesce(team.billing_manager, team.customer))
          AND NOT EXISTS (
              SELECT FROM consumables.known_seats AS seat
              WHERE seat.member = given.consumer AND seat.status = 'claimed' AND seat.team_id = team.team_id
          )
      )
"""
GIVE_POOL = """
    INSERT INTO consumables.access (consumer, account)
    SELECT consumer, %(account)s FROM (
        SELECT unnest(%(owners)s::text[]) UNION
        SELECT member FROM consumables.known_seats
        WHERE team_id = %(team)s AND status = 'claimed' AND member IS NOT NULL
    ) AS those (consumer)
    ORDER BY consumer ON CONFLICT DO NOTHING
"""
SUSPEND_TEAM = """
    UPDATE consumables.accounts SET suspended = %(suspended)s
    WHERE suspended <> %(suspended)s AND (
        account = 'team:' || %(team)s::text
        OR account IN (SELECT 'seat:' || seat_id FROM consumables.known_seats WHERE team_id = %(team)s)
    )
"""
SUSPEND_CUSTOMER = """
    UPDATE consumables.accounts SET suspended = NOT suspended
    WHERE account = 'customer:' || %(customer)s::text AND suspended <> (
        SELECT coalesce(bool_or(status IN ('past_due', 'unpaid', 'paused')) AND NOT bool_or(grants), false)
        FROM consumables.known_subscriptions AS known
        WHERE customer = %(customer)s AND ended_at IS NULL AND EXISTS (
            SELECT FROM consumables.terms
            WHERE terms.subscription_id = known.subscription_id AND reach = 'own' AND sold
        )
    )
"""
"""The payer's own units stay away while nothing that gives them any is in good standing."""


async def give_access_to_pool(work: UnitOfWork, told: TeamSnapshot) -> None:
    """Let those draw on a team's pool who may, now that the team is what it is."""
    account = f"team:{told.team_id}"
    await work.driver.execute(OPEN_TEAM, (account, told.customer.token, told.suspended, work.now))
    await work.driver.execute(CLOSE_POOLS, {"teams": [told.team_id]})
    if told.status == "open":
        owners = [told.customer.token, told.billing_manager.token]
        values = {"account": account, "team": told.team_id, "owners": owners}
        await work.driver.execute(GIVE_POOL, values)
        which = OPEN_SEATS.format(which="team_id = %(team)s")
        await work.driver.execute(which, {"team": told.team_id, "now": work.now})


async def give_access_to_seats(work: UnitOfWork, seats: Sequence[dict[str, Any]]) -> None:
    """Let the holders of these seats draw on them, and nobody who held them before."""
    if not seats:
        return
    values = {
        "seats": [seat["seat_id"] for seat in seats],
        "teams": sorted({seat["team_id"] for seat in seats}),
        "now": work.now,
    }
    await work.driver.execute(CLOSE_SEATS, values)
    # Of a seat's first invitation nobody has lost anything.
    if any(seat["status"] != "pending" or seat["version"] > 1 for seat in seats):
        await work.driver.execute(CLOSE_POOLS, values)
    await work.driver.execute(OPEN_SEATS.format(which="seat_id = ANY(%(seats)s)"), values)
    await work.driver.execute(GIVE_SEATS, values)


async def suspend_team(work: UnitOfWork, team_id: str, *, is_suspended: bool) -> None:
    """Suspend or restore a team's pool and the accounts of its seats."""
    await work.driver.execute(SUSPEND_TEAM, {"team": team_id, "suspended": is_suspended})


async def suspend_customer(work: UnitOfWork, customer: str) -> None:
    """Suspend or restore a customer's own account, as their subscriptions are."""
    await work.driver.execute(SUSPEND_CUSTOMER, {"customer": customer})
