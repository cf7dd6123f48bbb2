"""Projections of customers, products, teams, seats, add-ons and recharges.

Each stores the newest version of an entity, so that events that come twice, late or again by a replay change
nothing.
"""

from collections.abc import Sequence

from services.monitoring.service import service
from services.monitoring.tables import (
    KnownAddOn,
    KnownCustomer,
    KnownProduct,
    KnownRecharge,
    KnownSeat,
    KnownTeam,
)
from shared.messaging.feed_consumer import keep_newest_of
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import catalog as c
from tallystick.messages import seats
from tallystick.messages import subscriptions as s
from tallystick.messages.consumables import RechargeEvent


@service.event(s.CustomerEvent, name="follow_customers", together=True)
async def follow_customers(work: UnitOfWork, events: list[s.CustomerEvent]) -> None:
    """Note that customers are registered."""
    rows = [{"customer": event.customer.token, "version": event.version} for event in events]
    await keep_newest_of(work, KnownCustomer, rows)


@service.event(c.ProductEvent, name="follow_products", together=True)
async def follow_products(work: UnitOfWork, events: list[c.ProductEvent]) -> None:
    """Project the kinds of products."""
    await project_products(work, [event.product for event in events])


async def project_products(work: UnitOfWork, products: Sequence[c.Product]) -> None:
    """Project the kinds of products."""
    rows = [
        {
            "code": product.code,
            "version": product.version,
            "kind": product.kind,
            "archived": product.archived,
        }
        for product in products
    ]
    await keep_newest_of(work, KnownProduct, rows)


@service.event(seats.TeamEvent, name="follow_teams", together=True)
async def follow_teams(work: UnitOfWork, events: list[seats.TeamEvent]) -> None:
    """Project how many seats teams have."""
    await project_teams(work, [event.billing_team for event in events])


async def project_teams(work: UnitOfWork, teams: Sequence[seats.TeamSnapshot]) -> None:
    """Project how many seats teams have."""
    rows = [
        {
            "team_id": team.team_id,
            "version": team.version,
            "status": team.status,
            "capacity": team.capacity,
            "occupied": team.occupied,
        }
        for team in teams
    ]
    await keep_newest_of(work, KnownTeam, rows)


@service.event(seats.SeatEvent, name="follow_seats", together=True)
async def follow_seats(work: UnitOfWork, events: list[seats.SeatEvent]) -> None:
    """Project the status of seats."""
    await project_seats(work, [event.seat for event in events])


async def project_seats(work: UnitOfWork, found: Sequence[seats.SeatSnapshot]) -> None:
    """Project the status of seats."""
    rows = [{"seat_id": seat.seat_id, "version": seat.version, "status": seat.status} for seat in found]
    await keep_newest_of(work, KnownSeat, rows)


@service.event(s.AddOnEvent, name="follow_add_ons", together=True)
async def follow_add_ons(work: UnitOfWork, events: list[s.AddOnEvent]) -> None:
    """Project the status of add-ons."""
    await project_add_ons(work, [event.add_on for event in events])


async def project_add_ons(work: UnitOfWork, add_ons: Sequence[s.AddOnSnapshot]) -> None:
    """Project the status of add-ons."""
    rows = [
        {
            "add_on_id": add_on.add_on_id,
            "version": add_on.version,
            "product": add_on.product,
            "status": add_on.status,
        }
        for add_on in add_ons
    ]
    await keep_newest_of(work, KnownAddOn, rows)


@service.event(RechargeEvent, name="follow_recharges", together=True)
async def follow_recharges(work: UnitOfWork, events: list[RechargeEvent]) -> None:
    """Project recharges and what became of them."""
    rows = [
        {
            "recharge_id": event.recharge.recharge_id,
            "version": event.recharge.version,
            "customer": event.customer.token if event.customer else "",
            "account": event.recharge.account,
            "feature": event.recharge.feature,
            "status": event.recharge.status,
            "amount": event.recharge.amount.amount,
            "currency": event.recharge.amount.currency,
            "at": event.occurred_at,
        }
        for event in events
    ]
    await keep_newest_of(work, KnownRecharge, rows)
