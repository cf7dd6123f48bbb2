"""Assignment of seats in batches: each team is locked once and its seats are inserted in one statement."""

from collections.abc import Sequence

from services.seats.domain.assignment import NewSeat, decide_assignments, normalized_addresses
from services.seats.domain.invitations import INVITATION_LIFETIME
from services.seats.domain.rule_violation import RuleViolation
from services.seats.domain.seats import Seat
from services.seats.invitations.tokens import WITHHELD, Invitations, reveal_tokens
from services.seats.rejections import rejection_from, require_manager, require_open
from services.seats.repository import insert_seats, load_occupied_seats, lock_team, lock_teams, team_not_found
from services.seats.service import service
from services.seats.snapshots import capacity_of
from services.seats.state_changes import emit_seat, emit_team, take_seats
from services.seats.tables import TeamRow
from shared.errors import Rejected
from shared.ids import new_id
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import seats as m

Result = m.SeatAssigned | Rejected


@service.command(m.AssignSeat, together=True, reveal=reveal_tokens)
async def assign_seat(
    work: UnitOfWork, commands: Sequence[m.AssignSeat], invitations: Invitations
) -> list[Result]:
    """Assign a seat for each command of a batch, in order.

    The rejections are `not_found`, `not_billing_manager`, `team_closed`, and those of `decide_assignments`.
    """
    teams = await lock_teams(work, {command.team_id for command in commands})
    results: dict[int, Result] = {}
    accepted: dict[str, list[int]] = {}
    for index, command in enumerate(commands):
        try:
            _require_assignable(teams.get(command.team_id), command)
        except Rejected as rejection:
            results[index] = rejection
        else:
            accepted.setdefault(command.team_id, []).append(index)
    for team_id, indexes in accepted.items():
        requests = [(commands[index].command_id, commands[index]) for index in indexes]
        assigned = await assign_in_team(work, teams[team_id], requests, invitations)
        results.update(zip(indexes, map(_result, assigned), strict=True))
    return [results[index] for index in range(len(commands))]


@service.command(m.AssignSeats, reveal=reveal_tokens)
async def assign_seats(work: UnitOfWork, command: m.AssignSeats, invitations: Invitations) -> m.SeatsAssigned:
    """Assign many seats of a team in one transaction.

    Raises Rejected `not_found`, `not_billing_manager`, `team_closed`.
    """
    team = await lock_team(work, command.team_id)
    require_manager(team, command.acting_as)
    require_open(team)
    requests = [(command.command_id, request) for request in command.seats]
    assigned, errors = [], []
    for index, result in enumerate(await assign_in_team(work, team, requests, invitations)):
        if isinstance(result, RuleViolation):
            errors.append(m.SeatError(index=index, code=result.code, message=result.message))
        else:
            assigned.append(
                m.AssignedSeat(seat=result.seat, invitation_token=result.invitation_token, index=index)
            )
    return m.SeatsAssigned(assigned=assigned, errors=errors)


async def assign_in_team(
    work: UnitOfWork, team: TeamRow, requests: Sequence[tuple[str, m.SeatToAssign]], invitations: Invitations
) -> list[m.SeatAssigned | RuleViolation]:
    """Assign seats of a locked team; each request has the id of its command."""
    seats_to_assign = [request for _, request in requests]
    members = [request.member for request in seats_to_assign if request.member is not None]
    addresses = normalized_addresses(seats_to_assign)
    emails = [address for address in addresses if isinstance(address, str)]
    occupied = await load_occupied_seats(work, team, emails, members)
    decided = decide_assignments(capacity_of(team), occupied, seats_to_assign, addresses)
    # Ids of the same millisecond are unordered; sorting them lists the seats in the order of the requests.
    ids = iter(sorted(new_id("seat") for _ in decided))
    rows: list[Seat] = []
    results: list[m.SeatAssigned | RuleViolation] = []
    for (command_id, _), seat in zip(requests, decided, strict=True):
        if isinstance(seat, RuleViolation):
            results.append(seat)
            continue
        row = _new_row(work, team, next(ids), seat)
        if not seat.is_claimed:
            row.expires_at = work.now + INVITATION_LIFETIME
            row.token_hash = invitations.hash_for(command_id, row.seat_id)
        rows.append(row)
        results.append(_emit_new_seat(work, row, command_id, is_claimed=seat.is_claimed))
    if rows:
        take_seats(team, len(rows))
        emit_team(work, team, "changed")
        insert_seats(work, rows)
    return results


def _require_assignable(team: TeamRow | None, command: m.AssignSeat) -> None:
    if team is None:
        raise team_not_found(command.team_id)
    require_manager(team, command.acting_as)
    require_open(team)


def _result(result: m.SeatAssigned | RuleViolation) -> Result:
    return rejection_from(result) if isinstance(result, RuleViolation) else result


def _new_row(work: UnitOfWork, team: TeamRow, seat_id: str, seat: NewSeat) -> Seat:
    return Seat(
        seat_id=seat_id,
        team_id=team.team_id,
        subscription_id=team.subscription_id,
        customer=team.customer,
        email=seat.email,
        member=seat.member.token if seat.member else None,
        multiplier=seat.request.multiplier,
        role=seat.request.role,
        meta=seat.request.metadata,
        invited_at=work.now,
    )


def _emit_new_seat(work: UnitOfWork, row: Seat, command_id: str, *, is_claimed: bool) -> m.SeatAssigned:
    """Emit `assigned` for a new seat, and `claimed` as well if it is claimed at once."""
    snapshot = emit_seat(work, row, "assigned", caused_by=command_id)
    if not is_claimed:
        return m.SeatAssigned(seat=snapshot, invitation_token=WITHHELD)
    row.status = "claimed"
    row.claimed_at = work.now
    return m.SeatAssigned(seat=emit_seat(work, row, "claimed", caused_by=command_id))
