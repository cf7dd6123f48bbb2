"""Access of consumers to accounts, and suspension of accounts, as seats, teams and subscriptions change.

A consumer may always draw on their own account, without a row in `access`. The holder of a seat may draw on
its account. The holders of a team's claimed seats, its owner and its billing manager may draw on its pool.
"""

from collections.abc import Sequence
from typing import Any

from services.consumables.domain.overrides import NO_END
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.seats import TeamSnapshot

OPEN_TEAM = """
    INSERT INTO consumables.accounts (account, customer, suspended, created_at)
    VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
OPEN_SEATS = """
    INSERT INTO consumables.accounts (account, customer, suspended, suspends_at, created_at)
    SELECT 'seat:' || seat_id, known_teams.customer, known_teams.suspended, grace_until, %(now)s
    FROM consumables.known_seats AS seat JOIN consumables.known_teams USING (team_id)
    LEFT JOIN consumables.known_subscriptions AS known ON known.subscription_id = known_teams.subscription_id
    WHERE seat.status = 'claimed' AND {which}
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
    UPDATE consumables.accounts SET suspended = state.suspended, suspends_at = state.suspends_at
    FROM (
        SELECT coalesce(is_overdue AND NOT is_granted, false) AS suspended,
               CASE WHEN is_overdue AND is_granted AND NOT goes_on THEN granted_until END AS suspends_at
        FROM (
            SELECT bool_or(status IN ('past_due', 'unpaid', 'paused')) AS is_overdue,
                   bool_or(grants) AS is_granted,
                   bool_or(grants AND granted_until IS NULL) AS goes_on,
                   max(granted_until) FILTER (WHERE grants) AS granted_until
            FROM (
                SELECT status, grants,
                       CASE WHEN status <> 'override' THEN grace_until
                            WHEN period_end < %(no_end)s THEN period_end END AS granted_until
                FROM consumables.known_subscriptions AS known
                WHERE customer = %(customer)s AND ended_at IS NULL AND EXISTS (
                    SELECT FROM consumables.terms
                    WHERE terms.subscription_id = known.subscription_id AND reach = 'own' AND sold
                )
            ) AS source
        ) AS sources
    ) AS state
    WHERE account = 'customer:' || %(customer)s::text
      AND (accounts.suspended, accounts.suspends_at)
          IS DISTINCT FROM (state.suspended, state.suspends_at)
"""
"""Suspends the customer's own account if a subscription that grants to it is past due, unpaid or paused and
none grants units, or from the moment at which none will, as far as that is known."""
SUSPEND_AFTER_GRACE = """
    UPDATE consumables.accounts SET suspends_at = known.grace_until
    FROM consumables.known_subscriptions AS known
    WHERE known.subscription_id = %(subscription)s
      AND accounts.suspends_at IS DISTINCT FROM known.grace_until
      AND account IN (
          SELECT 'team:' || team_id FROM consumables.known_teams WHERE subscription_id = %(subscription)s
          UNION ALL
          SELECT 'seat:' || seat_id FROM consumables.known_seats
          WHERE subscription_id = %(subscription)s AND status = 'claimed'
      )
"""


async def update_pool_access(work: UnitOfWork, snapshot: TeamSnapshot) -> None:
    """Create a team's pool, and update the access of consumers to it."""
    account = f"team:{snapshot.team_id}"
    await work.driver.execute(OPEN_TEAM, (account, snapshot.customer.token, snapshot.suspended, work.now))
    await work.driver.execute(CLOSE_POOLS, {"teams": [snapshot.team_id]})
    if snapshot.status == "open":
        owners = [snapshot.customer.token, snapshot.billing_manager.token]
        values = {"account": account, "team": snapshot.team_id, "owners": owners}
        await work.driver.execute(GIVE_POOL, values)
        which = OPEN_SEATS.format(which="team_id = %(team)s")
        await work.driver.execute(which, {"team": snapshot.team_id, "now": work.now})


async def update_seat_access(work: UnitOfWork, seats: Sequence[dict[str, Any]]) -> None:
    """Give the holders of seats access to the seats' accounts and pools, and remove former holders."""
    if not seats:
        return
    values = {
        "seats": [seat["seat_id"] for seat in seats],
        "teams": sorted({seat["team_id"] for seat in seats}),
        "now": work.now,
    }
    await work.driver.execute(CLOSE_SEATS, values)
    # The first invitation of a seat removes nobody's access.
    if any(seat["status"] != "pending" or seat["version"] > 1 for seat in seats):
        await work.driver.execute(CLOSE_POOLS, values)
    await work.driver.execute(OPEN_SEATS.format(which="seat_id = ANY(%(seats)s)"), values)
    await work.driver.execute(GIVE_SEATS, values)


async def suspend_team(work: UnitOfWork, team_id: str, *, is_suspended: bool) -> None:
    """Suspend or restore a team's pool and the accounts of its seats."""
    await work.driver.execute(SUSPEND_TEAM, {"team": team_id, "suspended": is_suspended})


async def suspend_customer(work: UnitOfWork, customer: str) -> None:
    """Suspend or restore a customer's own account according to their subscriptions."""
    await work.driver.execute(SUSPEND_CUSTOMER, {"customer": customer, "no_end": NO_END})


async def suspend_after_grace(work: UnitOfWork, subscription_id: str) -> None:
    """Have the accounts of a subscription's team and seats suspended when its grace period ends."""
    await work.driver.execute(SUSPEND_AFTER_GRACE, {"subscription": subscription_id})
