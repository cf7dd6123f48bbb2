"""Questions about teams, seats, memberships and their cost."""

from services.seats.domain.member_shares import invoices_for_period, split_equally
from services.seats.domain.team_capacity import require_valid_quantity
from services.seats.rejections import reject_violations, require_open
from services.seats.repository import (
    count_held_until,
    find_known_subscription,
    find_team,
    load_held_seats,
    load_known_invoices,
    load_memberships,
    load_seats,
    load_teams,
    team_not_found,
)
from services.seats.service import service
from services.seats.snapshots import capacity_of, customer_of, seat_snapshot, team_snapshot
from services.seats.tables import TeamRow
from shared.errors import Rejected
from shared.messaging.service_client import ServiceClient
from shared.persistence.cursors import decode_cursor, encode_cursor
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import seats as m
from tallystick.messages import subscriptions as s


@service.question(m.GetTeam)
async def get_team(work: UnitOfWork, question: m.GetTeam) -> m.TeamFound:
    """Find a team; raise Rejected `not_found`."""
    found = await find_team(
        work.session,
        team_id=question.team_id,
        subscription_id=question.subscription_id,
        customer=question.customer,
    )
    if found is None:
        raise Rejected("not_found", "There is no such team.", question.model_dump(exclude_none=True))
    return m.TeamFound(team=team_snapshot(found))


@service.question(m.ListTeams)
async def list_teams(work: UnitOfWork, question: m.ListTeams) -> m.TeamPage:
    """List a page of teams."""
    rows = await load_teams(
        work.session,
        question.customer,
        before=_last_id_of(question.cursor),
        limit=question.limit + 1,
    )
    page = rows[: question.limit]
    more = encode_cursor(page[-1].team_id) if len(rows) > len(page) else None
    return m.TeamPage(items=[team_snapshot(row) for row in page], next_cursor=more)


@service.question(m.ListSeats)
async def list_seats(work: UnitOfWork, question: m.ListSeats) -> m.SeatPage:
    """List a page of a team's seats; raise Rejected `not_found`."""
    await _find_team(work, question.team_id)
    rows = await load_seats(
        work.session,
        question.team_id,
        status=question.status,
        before=_last_id_of(question.cursor),
        limit=question.limit + 1,
    )
    page = rows[: question.limit]
    more = encode_cursor(page[-1].seat_id) if len(rows) > len(page) else None
    return m.SeatPage(items=[seat_snapshot(row) for row in page], next_cursor=more)


@service.question(m.ListMemberships)
async def list_memberships(work: UnitOfWork, question: m.ListMemberships) -> m.MembershipPage:
    """List a page of the seats that a user has claimed."""
    rows = await load_memberships(
        work.session, question.member, before=_last_id_of(question.cursor), limit=question.limit + 1
    )
    page = rows[: question.limit]
    more = encode_cursor(page[-1][0].seat_id) if len(rows) > len(page) else None
    items = [m.Membership(seat=seat_snapshot(seat), team=team_snapshot(team)) for seat, team in page]
    return m.MembershipPage(items=items, next_cursor=more)


@service.question(m.PreviewSeatChange)
async def preview_seat_change(
    work: UnitOfWork, question: m.PreviewSeatChange, client: ServiceClient
) -> m.SeatChangePreview:
    """Ask `subscriptions` what another number of seats would cost.

    Raises Rejected with the code that the change itself would be rejected with.
    """
    team = await _find_team(work, question.team_id)
    require_open(team)
    with reject_violations():
        require_valid_quantity(capacity_of(team), question.quantity)
    preview = await client.ask(
        s.PreviewChange(
            subscription_id=team.subscription_id,
            quantity=question.quantity,
            when=question.when,
            proration=question.proration,
        )
    )
    return m.SeatChangePreview(quantity=question.quantity, **dict(preview))


@service.question(m.MemberPayments)
async def member_payments(work: UnitOfWork, question: m.MemberPayments) -> m.PaymentsOfMembers:
    """Return what each seat costs in the current period; raise Rejected `not_found`.

    The owner comes first, then occupied seats, oldest first, then one item for all unassigned seats.
    """
    team = await _find_team(work, question.team_id)
    subscription = await find_known_subscription(work.session, team.subscription_id)
    period = _period(subscription.snapshot) if subscription is not None else None
    invoices = [
        s.InvoiceSnapshot.model_validate(snapshot, strict=False)
        for snapshot in await load_known_invoices(work.session, team.subscription_id)
    ]
    billed = invoices_for_period(invoices, period) if period is not None else []
    total = sum(invoice.total for invoice in billed)
    items, cursor = await _shares(work, team, question, total)
    return m.PaymentsOfMembers(
        team_id=team.team_id,
        period=period,
        currency=billed[0].currency if billed else None,
        total=total,
        invoice_ids=[invoice.invoice_id for invoice in billed],
        items=items,
        next_cursor=cursor,
    )


async def _shares(
    work: UnitOfWork, team: TeamRow, question: m.MemberPayments, total: int
) -> tuple[list[m.MemberPayment], str | None]:
    capacity = capacity_of(team)
    owners, assigned = int(team.owner_seat == "billed"), capacity.assigned
    seats = max(1, team.quantity, assigned)
    shares = split_equally(total, seats)
    after = _last_id_of(question.cursor)
    rows = await load_held_seats(work.session, team.team_id, after=after, limit=question.limit + 1)
    page = rows[: question.limit]
    first = owners + await count_held_until(work.session, team.team_id, until=after)
    items = [
        m.MemberPayment(
            holder="seat",
            seat_id=row.seat_id,
            member=customer_of(row.member) if row.member else None,
            email=row.email,
            seats=1,
            amount=shares.of(first + offset),
        )
        for offset, row in enumerate(page)
    ]
    if after is None and team.owner_seat != "none" and team.status == "open":
        items.insert(0, _share_without_seat("owner", 1, shares.of(0) if owners else 0, team))
    if len(rows) > len(page):
        return items, encode_cursor(page[-1].seat_id)
    occupied = first + len(page)
    if seats > occupied:
        items.append(
            _share_without_seat("unassigned", seats - occupied, shares.between(occupied, seats), team)
        )
    return items, None


def _share_without_seat(holder: m.Holder, seats: int, amount: int, team: TeamRow) -> m.MemberPayment:
    payer = customer_of(team.customer) if holder == "owner" else None
    return m.MemberPayment(holder=holder, seat_id=None, member=payer, email=None, seats=seats, amount=amount)


async def _find_team(work: UnitOfWork, team_id: str) -> TeamRow:
    found = await find_team(work.session, team_id=team_id, subscription_id=None, customer=None)
    if found is None:
        raise team_not_found(team_id)
    return found


def _last_id_of(cursor: str | None) -> str | None:
    return decode_cursor(cursor, 1)[0] if cursor is not None else None


def _period(snapshot: dict[str, object]) -> s.Span | None:
    subscription = s.SubscriptionSnapshot.model_validate(snapshot, strict=False)
    if subscription.current_period_start is None or subscription.current_period_end is None:
        return None
    return s.Span(start=subscription.current_period_start, end=subscription.current_period_end)
