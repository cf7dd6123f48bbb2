"""Giving seats away: however many wishes wait, each team is locked once and its seats are written at once."""

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

Answer = m.SeatAssigned | Rejected


@service.command(m.AssignSeat, together=True, reveal=reveal_tokens)
async def assign_seat(
    work: UnitOfWork, commands: Sequence[m.AssignSeat], invitations: Invitations
) -> list[Answer]:
    """What becomes of commands that were waiting at the same moment, in their order."""
    teams = await lock_teams(work, {command.team_id for command in commands})
    answers: dict[int, Answer] = {}
    accepted: dict[str, list[int]] = {}
    for place, command in enumerate(commands):
        try:
            _require_assignable(teams.get(command.team_id), command)
        except Rejected as rejection:
            answers[place] = rejection
        else:
            accepted.setdefault(command.team_id, []).append(place)
    for team_id, places in accepted.items():
        requests = [(commands[place].command_id, commands[place]) for place in places]
        given = await assign_in_team(work, teams[team_id], requests, invitations)
        answers.update(zip(places, map(_outcome, given), strict=True))
    return [answers[place] for place in range(len(commands))]


@service.command(m.AssignSeats, reveal=reveal_tokens)
async def assign_seats(work: UnitOfWork, command: m.AssignSeats, invitations: Invitations) -> m.SeatsAssigned:
    """Seats for many people in one commit.

    Raises Rejected `not_found`, `not_billing_manager`, `team_closed`.
    """
    team = await lock_team(work, command.team_id)
    require_manager(team, command.acting_as)
    require_open(team)
    requests = [(command.command_id, request) for request in command.seats]
    assigned, errors = [], []
    for index, given in enumerate(await assign_in_team(work, team, requests, invitations)):
        if isinstance(given, RuleViolation):
            errors.append(m.SeatError(index=index, code=given.code, message=given.message))
        else:
            assigned.append(
                m.AssignedSeat(seat=given.seat, invitation_token=given.invitation_token, index=index)
            )
    return m.SeatsAssigned(assigned=assigned, errors=errors)


async def assign_in_team(
    work: UnitOfWork, team: TeamRow, requests: Sequence[tuple[str, m.SeatToAssign]], invitations: Invitations
) -> list[m.SeatAssigned | RuleViolation]:
    """Seats of a locked team for wishes, each with the id of the command it came with."""
    wanted = [request for _, request in requests]
    members = [request.member for request in wanted if request.member is not None]
    addresses = normalized_addresses(wanted)
    emails = [address for address in addresses if isinstance(address, str)]
    occupied = await load_occupied_seats(work, team, emails, members)
    decided = decide_assignments(capacity_of(team), occupied, wanted, addresses)
    # Ids of the same millisecond are in no order of their own; sorted, later wishes come later in lists.
    ids = iter(sorted(new_id("seat") for _ in decided))
    rows: list[Seat] = []
    given: list[m.SeatAssigned | RuleViolation] = []
    for (command_id, _), seat in zip(requests, decided, strict=True):
        if isinstance(seat, RuleViolation):
            given.append(seat)
            continue
        row = _new_row(work, team, next(ids), seat)
        if not seat.is_claimed:
            row.expires_at = work.now + INVITATION_LIFETIME
            row.token_hash = invitations.hash_for(command_id, row.seat_id)
        rows.append(row)
        given.append(_emit_new_seat(work, row, command_id, is_claimed=seat.is_claimed))
    if rows:
        take_seats(team, len(rows))
        emit_team(work, team, "changed")
        insert_seats(work, rows)
    return given


def _require_assignable(team: TeamRow | None, command: m.AssignSeat) -> None:
    if team is None:
        raise team_not_found(command.team_id)
    require_manager(team, command.acting_as)
    require_open(team)


def _outcome(given: m.SeatAssigned | RuleViolation) -> Answer:
    return rejection_from(given) if isinstance(given, RuleViolation) else given


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
    """Tell of a new seat; one that is claimed at once is told twice, as any other would be."""
    snapshot = emit_seat(work, row, "assigned", caused_by=command_id)
    if not is_claimed:
        return m.SeatAssigned(seat=snapshot, invitation_token=WITHHELD)
    row.status = "claimed"
    row.claimed_at = work.now
    return m.SeatAssigned(seat=emit_seat(work, row, "claimed", caused_by=command_id))
