"""Changes of one seat: claim, resend the invitation, revoke, replace the holder, set the multiplier."""

from services.seats.domain.email_address import normalize_email
from services.seats.domain.invitations import (
    INVITATION_LIFETIME,
    hash_token,
    invitation_invalid,
    require_recipient,
)
from services.seats.domain.rule_violation import RuleViolation
from services.seats.invitations.tokens import WITHHELD, Invitations, reveal_tokens
from services.seats.rejections import reject_violations, rejection_from, require_manager
from services.seats.repository import find_invited_seat, load_occupied_seats, lock_invited_seat, lock_seat
from services.seats.service import service
from services.seats.snapshots import customer_of, seat_snapshot, team_snapshot
from services.seats.state_changes import emit_seat, emit_team, free_seats, invalidate_invitation
from services.seats.tables import SeatRow, TeamRow
from shared.errors import Rejected
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import seats as m
from tallystick.messages.base import Customer


@service.command(m.ClaimSeat)
async def claim_seat(work: UnitOfWork, command: m.ClaimSeat) -> m.SeatClaimed:
    """Claim a pending seat with its invitation token.

    Raises Rejected `invitation_invalid` for every token without an open invitation, `invitation_expired`,
    `email_mismatch`, `seat_already_assigned`.
    """
    # Used, replaced, revoked and unknown tokens are all detected by this one query.
    invited = await find_invited_seat(work.session, hash_token(command.token))
    if invited is None:
        raise rejection_from(invitation_invalid())
    with reject_violations():
        _require_unexpired(work, invited, command.member)
    found = await lock_invited_seat(work, invited)
    if found is None:
        raise rejection_from(invitation_invalid())
    team, seat = found
    with reject_violations():
        require_recipient(
            email=seat.email,
            member=customer_of(seat.member) if seat.member else None,
            claimed_by=command.member,
            claimed_email=command.email,
        )
        await _require_without_seat(work, team, seat, None, command.member)
    _claim(work, seat, command.member)
    snapshot = emit_seat(work, seat, "claimed")
    return m.SeatClaimed(seat=snapshot, team=team_snapshot(team))


@service.question(m.GetInvitation)
async def get_invitation(work: UnitOfWork, question: m.GetInvitation) -> m.InvitationFound:
    """Return the invitation of a token; raise Rejected `invitation_invalid` unless it is open."""
    seat = await find_invited_seat(work.session, hash_token(question.token))
    if seat is None or seat.expires_at is None or seat.expires_at <= work.now:
        raise rejection_from(invitation_invalid())
    invitation = m.Invitation(
        seat_id=seat.seat_id,
        team_id=seat.team_id,
        customer=customer_of(seat.customer),
        email=seat.email,
        member=customer_of(seat.member) if seat.member else None,
        role=seat.role,
        invited_at=seat.invited_at,
        expires_at=seat.expires_at,
    )
    return m.InvitationFound(invitation=invitation)


@service.command(m.ResendInvitation, reveal=reveal_tokens)
async def resend_invitation(
    work: UnitOfWork, command: m.ResendInvitation, invitations: Invitations
) -> m.InvitationResent:
    """Replace the invitation token of a pending seat.

    Raises Rejected `not_found`, `not_billing_manager`, `seat_not_pending`.
    """
    team, seat = await lock_seat(work, command.seat_id)
    require_manager(team, command.acting_as)
    if seat.status != "pending":
        raise Rejected("seat_not_pending", f"The seat is {seat.status}.", {"status": seat.status})
    _invite(work, seat, command.command_id, invitations)
    return m.InvitationResent(seat=emit_seat(work, seat, "invitationResent"), invitation_token=WITHHELD)


@service.command(m.RevokeSeat)
async def revoke_seat(work: UnitOfWork, command: m.RevokeSeat) -> m.SeatFound:
    """Revoke a seat, unless it is revoked already; raise Rejected `not_found`, `not_billing_manager`."""
    team, seat = await lock_seat(work, command.seat_id)
    require_manager(team, command.acting_as)
    if seat.status == "revoked":
        return m.SeatFound(seat=seat_snapshot(seat))
    seat.status = "revoked"
    seat.revoked_at = work.now
    invalidate_invitation(seat)
    free_seats(team, 1)
    snapshot = emit_seat(work, seat, "revoked")
    emit_team(work, team, "changed")
    return m.SeatFound(seat=snapshot)


@service.command(m.ReplaceSeat, reveal=reveal_tokens)
async def replace_seat(work: UnitOfWork, command: m.ReplaceSeat, invitations: Invitations) -> m.SeatReplaced:
    """Replace the holder of a seat: at once by a member if it was claimed, else by invitation.

    Raises Rejected `not_found`, `not_billing_manager`, `seat_revoked`, `invalid_email`,
    `seat_already_assigned`.
    """
    team, seat = await lock_seat(work, command.seat_id)
    require_manager(team, command.acting_as)
    _require_not_revoked(seat)
    with reject_violations():
        email = normalize_email(command.email) if command.email is not None else None
        token = command.member.token if command.member else None
        if _is_held_by(seat, email, token):
            return m.SeatReplaced(seat=seat_snapshot(seat))
        await _require_without_seat(work, team, seat, email, command.member)
    seat.email, seat.member = email, token
    if seat.status == "claimed" and command.member is not None:
        _claim(work, seat, command.member)
        return m.SeatReplaced(seat=emit_seat(work, seat, "replaced"))
    seat.status = "pending"
    seat.claimed_at = None
    _invite(work, seat, command.command_id, invitations)
    return m.SeatReplaced(seat=emit_seat(work, seat, "replaced"), invitation_token=WITHHELD)


@service.command(m.SetSeatMultiplier)
async def set_seat_multiplier(work: UnitOfWork, command: m.SetSeatMultiplier) -> m.SeatFound:
    """Set the multiplier of the units that a seat is granted.

    Raises Rejected `not_found`, `not_billing_manager`, `seat_revoked`, `multiplier_not_supported`.
    """
    team, seat = await lock_seat(work, command.seat_id)
    require_manager(team, command.acting_as)
    _require_not_revoked(seat)
    if team.strategy == "per_team":
        raise Rejected("multiplier_not_supported", "This team shares one pool; its seats have no multiplier.")
    if seat.multiplier == command.multiplier:
        return m.SeatFound(seat=seat_snapshot(seat))
    seat.multiplier, seat.prorated = command.multiplier, command.prorate
    return m.SeatFound(seat=emit_seat(work, seat, "multiplierChanged"))


def _claim(work: UnitOfWork, seat: SeatRow, member: Customer) -> None:
    seat.status = "claimed"
    seat.member = member.token
    seat.claimed_at = work.now
    invalidate_invitation(seat)


def _invite(work: UnitOfWork, seat: SeatRow, command_id: str, invitations: Invitations) -> None:
    seat.invited_at = work.now
    seat.expires_at = work.now + INVITATION_LIFETIME
    seat.token_hash = invitations.hash_for(command_id, seat.seat_id)


def _require_unexpired(work: UnitOfWork, seat: SeatRow, member: Customer) -> None:
    if seat.expires_at is not None and work.now < seat.expires_at:
        return
    if seat.member == member.token:
        # The invitation names this member, so the answer discloses nothing to others.
        raise RuleViolation("invitation_expired", "This invitation has expired. Ask for a new one.")
    raise invitation_invalid()


async def _require_without_seat(
    work: UnitOfWork, team: TeamRow, seat: SeatRow, email: str | None, member: Customer | None
) -> None:
    """Raise RuleViolation `seat_already_assigned` if the new holder has another seat of the team."""
    new_email = email if email != seat.email else None
    new_member = member if member is not None and member.token != seat.member else None
    occupied = await load_occupied_seats(
        work, team, [new_email] if new_email else [], [new_member] if new_member else []
    )
    occupied.require_free(new_email, new_member)


def _is_held_by(seat: SeatRow, email: str | None, member: str | None) -> bool:
    """Return whether this person holds the seat already."""
    if member is not None:
        return seat.member == member and (email is None or seat.email == email)
    return seat.email == email


def _require_not_revoked(seat: SeatRow) -> None:
    if seat.status == "revoked":
        raise Rejected("seat_revoked", "The seat was revoked; assign a new one.", {"seat_id": seat.seat_id})
