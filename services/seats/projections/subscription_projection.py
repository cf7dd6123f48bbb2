"""Projection of subscriptions, invoices and customers into known rows and teams."""

import sqlalchemy as sa

from services.seats.domain.seats import Seat
from services.seats.domain.team_capacity import (
    SeatTerms,
    TargetState,
    billing_manager_from,
    seat_terms_of,
    target_state_of,
)
from services.seats.projections.license_projection import count_members, lock_licenses
from services.seats.service import service
from services.seats.snapshots import terms_of_team
from services.seats.state_changes import emit_seat, emit_team, free_seats, set_terms
from services.seats.tables import KnownCustomer, KnownInvoice, KnownSubscription, SeatRow, TeamRow
from shared.ids import new_id
from shared.messaging.feed_consumer import Begin, keep_newest, keep_newest_of
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as s

REVOKE_BATCH_SEATS = 2_000
"""Seats of a closing team that are revoked per transaction: about a second and a few MB of events."""
_FIELD_OF_COLUMN = {"metadata": "meta"}
"""Columns whose field in `Seat` has another name."""


@service.event(s.SubscriptionEvent, name="follow_subscription", in_parts=True)
async def follow_subscription(begin: Begin, event: s.SubscriptionEvent) -> None:
    """Project a subscription, and open, update or close its team."""
    async with begin() as work:
        if await project_subscription(work, event.subscription):
            await update_team(work, event.subscription)
    # Also for a known version: an earlier delivery may have stopped before it closed the team.
    await close_teams(begin, event.subscription.subscription_id)


@service.event(s.InvoiceEvent, name="follow_invoices", together=True)
async def follow_invoices(work: UnitOfWork, events: list[s.InvoiceEvent]) -> None:
    """Project the invoices of subscriptions."""
    invoices = [event.invoice for event in events if event.invoice.subscription_id is not None]
    await keep_newest_of(
        work,
        KnownInvoice,
        [
            {
                "invoice_id": invoice.invoice_id,
                "version": invoice.version,
                "subscription_id": invoice.subscription_id,
                "snapshot": invoice.model_dump(mode="json"),
            }
            for invoice in invoices
        ],
    )


async def project_subscription(work: UnitOfWork, subscription: s.SubscriptionSnapshot) -> bool:
    """Write the snapshot of a subscription if its version is newer; return whether it was."""
    return await keep_newest(
        work,
        KnownSubscription,
        subscription_id=subscription.subscription_id,
        version=subscription.version,
        snapshot=subscription.model_dump(mode="json"),
    )


async def update_team(work: UnitOfWork, subscription: s.SubscriptionSnapshot) -> bool:
    """Open, change, suspend, restore or start to close a subscription's team; return whether it emitted.

    The caller has written the known subscription in this transaction, and so holds the lock on its row.
    """
    target, terms = target_state_of(subscription), seat_terms_of(subscription)
    team = await lock_open_team(work, subscription.subscription_id)
    if terms is None:
        target = "closed" if target != "none" else "none"
    if team is None:
        if terms is not None and target in ("open", "suspended"):
            await _open_team(work, subscription, terms, target)
            return True
        return False
    if target == "closed":
        team.closing = True
        return False
    if terms is None or target == "none":
        return False
    return _apply_terms(work, team, terms, target)


def _apply_terms(work: UnitOfWork, team: TeamRow, terms: SeatTerms, target: TargetState) -> bool:
    has_changed = terms != terms_of_team(team)
    if has_changed:
        set_terms(team, terms)
        emit_team(work, team, "changed")
    is_suspended = target == "suspended"
    if is_suspended == team.suspended:
        return has_changed
    team.suspended = is_suspended
    emit_team(work, team, "suspended" if is_suspended else "restored")
    return True


async def lock_open_team(work: UnitOfWork, subscription_id: str) -> TeamRow | None:
    """Lock the team of a subscription that is neither closed nor closing."""
    query = sa.select(TeamRow).where(TeamRow.subscription_id == subscription_id, ~TeamRow.closing)
    query = query.with_for_update().execution_options(populate_existing=True)
    return (await work.session.scalars(query)).one_or_none()


async def close_teams(begin: Begin, subscription_id: str) -> None:
    """Revoke all seats of a subscription's closing teams in batches, and close the teams."""
    while True:
        async with begin() as work:
            query = sa.select(TeamRow).where(
                TeamRow.subscription_id == subscription_id, TeamRow.closing, TeamRow.status == "open"
            )
            team = (await work.session.scalars(query.limit(1).with_for_update())).first()
            if team is None:
                return
            await _close_batch(work, team)


async def _close_batch(work: UnitOfWork, team: TeamRow) -> None:
    seat_ids = (
        sa.select(SeatRow.seat_id)
        .where(SeatRow.team_id == team.team_id, SeatRow.status != "revoked")
        .order_by(SeatRow.seat_id)
        .limit(REVOKE_BATCH_SEATS)
    )
    revoked = await _revoke_seats(work, seat_ids)
    for seat in revoked:
        emit_seat(work, seat, "revoked")
    free_seats(team, len(revoked))
    if len(revoked) == REVOKE_BATCH_SEATS:
        emit_team(work, team, "changed")
        return
    team.status = "closed"
    team.closed_at = work.now
    team.suspended = False
    team.change = None
    team.occupied = 0
    team.excess = 0
    emit_team(work, team, "closed")


async def _revoke_seats(work: UnitOfWork, seat_ids: sa.Select[str]) -> list[Seat]:
    """Revoke seats in one statement and return them.

    Their versions are those before the change, as `emit_seat` increments them.
    """
    statement = (
        sa.update(SeatRow)
        .where(SeatRow.seat_id.in_(seat_ids))
        .values(
            status="revoked",
            version=SeatRow.version + 1,
            token_hash=None,
            expires_at=None,
            revoked_at=work.now,
        )
        .returning(*SeatRow.__table__.columns)
        .execution_options(synchronize_session=False)
    )
    rows = (await work.session.execute(statement)).mappings().all()
    seats = [Seat(**{_FIELD_OF_COLUMN.get(name, name): value for name, value in row.items()}) for row in rows]
    for seat in seats:
        seat.version -= 1
    return sorted(seats, key=lambda seat: seat.seat_id)


@service.event(s.CustomerEvent, name="follow_customer")
async def follow_customer(work: UnitOfWork, event: s.CustomerEvent) -> None:
    """Project a customer; the manager in its metadata takes over teams that have none named yet."""
    customer = event.customer
    manager = billing_manager_from(customer.metadata)
    await _lock_billing_manager(work, customer.token)
    is_new = await keep_newest(
        work,
        KnownCustomer,
        customer=customer.token,
        version=customer.version,
        billing_manager=manager.token if manager else None,
    )
    if not is_new or manager is None:
        return
    query = (
        sa.select(TeamRow)
        .where(TeamRow.customer == customer.token, TeamRow.manager_from == "customer", ~TeamRow.closing)
        .order_by(TeamRow.team_id)
        .with_for_update()
    )
    for team in await work.session.scalars(query):
        team.billing_manager, team.manager_from = manager.token, "metadata"
        emit_team(work, team, "changed")


async def _open_team(
    work: UnitOfWork, subscription: s.SubscriptionSnapshot, terms: SeatTerms, target: TargetState
) -> None:
    payer, subscription_id = subscription.customer.token, subscription.subscription_id
    await _lock_billing_manager(work, payer)
    await lock_licenses(work, [subscription_id])
    known = await work.session.get(KnownCustomer, payer)
    named = known.billing_manager if known is not None else None
    team = TeamRow(
        team_id=new_id("team"),
        version=0,
        subscription_id=subscription_id,
        customer=payer,
        holders=0,
        members_reported=(await count_members(work, {subscription_id})).get(subscription_id, 0),
        billing_manager=named or payer,
        manager_from="metadata" if named else "customer",
        suspended=False,
        status="open",
        closing=False,
        change=None,
        refused_change=None,
        opened_at=work.now,
        closed_at=None,
    )
    set_terms(team, terms)
    work.session.add(team)
    emit_team(work, team, "opened")
    if target == "suspended":
        team.suspended = True
        emit_team(work, team, "suspended")


async def _lock_billing_manager(work: UnitOfWork, customer: str) -> None:
    """Serialize opening a team and projecting its customer, so that each sees the result of the other."""
    lock = "SELECT pg_advisory_xact_lock(hashtext('seats.manager'), hashtext(%s))"
    await work.driver.execute(lock, [customer])
