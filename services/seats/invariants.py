"""Invariants of this service's live data, checked by `./dev audit`."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.operations.audit import LiveSystem
from shared.operations.audit_helpers import lasting_violations
from shared.operations.row_versions import RowsMatchLastEvents

SCHEMA = "seats"

_KEYS = {("billing_team", "teams"): "team_id", ("seat", "seats"): "seat_id"}
"""The key column by entity and table; the outbox holds its value as `entity_id`."""


@dataclass(frozen=True, slots=True)
class OccupiedIsNeverAboveCapacity:
    """No team has more occupied seats than its capacity and the excess of a reduction elsewhere."""

    name: str = "occupied seats are never above capacity"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Return the teams with more."""
        rows = await live.rows(
            SCHEMA,
            """SELECT team_id, occupied, capacity, excess FROM {schema}.teams
                WHERE occupied > capacity + excess OR (excess > 0 AND excess <> occupied - capacity)
                   OR capacity <> quantity + (owner_seat = 'free')::int LIMIT 20""",
        )
        message = "{team_id} has {occupied} of {capacity} seats taken and {excess} left over"
        return [message.format(**row) for row in rows]


@dataclass(frozen=True, slots=True)
class SeatsAreCounted:
    """The counts of a team equal its pending and claimed seats and the owner's."""

    name: str = "teams count their seats"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Return the teams with other counts, and closed teams with seats."""
        rows = await live.rows(
            SCHEMA,
            """SELECT team_id, holders, occupied, seats.seats FROM {schema}.teams
                CROSS JOIN LATERAL (
                    SELECT count(*) AS seats FROM {schema}.seats
                    WHERE seats.team_id = teams.team_id AND seats.status <> 'revoked') AS seats
                WHERE holders <> seats.seats
                   OR (status = 'closed' AND (holders <> 0 OR occupied <> 0))
                   OR (status = 'open' AND occupied <> holders + (owner_seat <> 'none')::int) LIMIT 20""",
        )
        message = "{team_id} counts {holders} holders and {occupied} occupied, there are {seats}"
        return [message.format(**row) for row in rows]


@dataclass(frozen=True, slots=True)
class MembersOnMachinesAreCounted:
    """A team counts the members that the machines of its subscription's license report."""

    name: str = "teams count the members on machines"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Return the teams with another number even after events have had time to arrive."""
        return await lasting_violations(lambda: self._differences(live))

    async def _differences(self, live: LiveSystem) -> list[str]:
        rows = await live.rows(
            SCHEMA,
            """SELECT team_id, members_reported, there.members FROM {schema}.teams
                CROSS JOIN LATERAL (
                    SELECT coalesce(sum(members), 0) AS members
                    FROM licenses.licenses JOIN licenses.activations USING (license_id)
                    WHERE licenses.subscription_id = teams.subscription_id AND ended_at IS NULL) AS there
                WHERE NOT closing AND members_reported <> there.members LIMIT 20""",
        )
        message = "{team_id} counts {members_reported} members on machines, there are {members}"
        return [message.format(**row) for row in rows]


@dataclass(frozen=True, slots=True)
class MembershipsEqualClaimedSeats:
    """The members known to `subscriptions` are the holders of claimed seats."""

    name: str = "memberships equal claimed seats"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Return the seats whose holders differ even after events have had time to arrive."""
        return await lasting_violations(lambda: self._differences(live))

    async def _differences(self, live: LiveSystem) -> list[str]:
        rows = await live.rows(
            SCHEMA,
            """SELECT seat_id, own.member AS ours, known.member AS theirs
                FROM (SELECT seat_id, member FROM {schema}.seats WHERE status = 'claimed') AS own
                FULL JOIN (SELECT seat_id, member FROM subscriptions.known_seats WHERE claimed) AS known
                    USING (seat_id)
                WHERE own.member IS DISTINCT FROM known.member LIMIT 20""",
        )
        message = "{seat_id} is held by {ours} here, by {theirs} as subscriptions knows it"
        return [message.format(**row) for row in rows]


@dataclass(frozen=True, slots=True)
class EveryTeamHasOneManager:
    """A team has exactly one billing manager, and a subscription at most one team that is not closing."""

    name: str = "every team has exactly one billing manager"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Return the teams with an invalid manager, and subscriptions with two teams."""
        managers = await live.rows(
            SCHEMA,
            r"""SELECT team_id, billing_manager FROM {schema}.teams
                WHERE billing_manager !~ '^(user|organization)_[A-Za-z0-9-]+$'
                   OR (manager_from = 'customer' AND billing_manager <> customer) LIMIT 20""",
        )
        teams = await live.rows(
            SCHEMA,
            """SELECT subscription_id, count(*) AS teams FROM {schema}.teams WHERE NOT closing
                GROUP BY subscription_id HAVING count(*) > 1 LIMIT 20""",
        )
        found = [f"{row['team_id']} is managed by {row['billing_manager']!r}" for row in managers]
        return found + [f"{row['subscription_id']} has {row['teams']} teams" for row in teams]


@dataclass(frozen=True, slots=True)
class InvitationTokensAreNotStored:
    """No invitation token is stored in clear text: not in an event, a command or an outcome."""

    name: str = "no invitation's token is kept in clear"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Return the rows with the token of an open invitation, or with any token in a withheld field."""
        told = await live.rows(
            SCHEMA,
            """WITH words AS (
                    SELECT message_id AS row, (regexp_matches(
                        convert_from(payload, 'UTF8'), '[A-Za-z0-9_-]{{43}}', 'g'))[1] AS word
                    FROM {schema}.outbox WHERE entity IN ('seat', 'billing_team')
                    UNION ALL
                    SELECT command_id, (regexp_matches(
                        body::text || coalesce(outcome::text, ''), '[A-Za-z0-9_-]{{43}}', 'g'))[1]
                    FROM {schema}.inbox)
                SELECT row FROM words JOIN {schema}.seats ON token_hash = sha256(word::bytea) LIMIT 20""",
        )
        kept = await live.rows(
            SCHEMA,
            """SELECT command_id FROM {schema}.inbox
                WHERE body::jsonb ? 'token'
                   OR outcome::text ~ '"invitation_token": ?"(?!withheld")' LIMIT 20""",
        )
        found = [f"{row['row']} holds the token of an open invitation" for row in told]
        return found + [f"the command {row['command_id']} is kept with a token" for row in kept]


INVARIANTS = (
    OccupiedIsNeverAboveCapacity(),
    SeatsAreCounted(),
    MembersOnMachinesAreCounted(),
    MembershipsEqualClaimedSeats(),
    EveryTeamHasOneManager(),
    InvitationTokensAreNotStored(),
    RowsMatchLastEvents(SCHEMA, _KEYS),
)
