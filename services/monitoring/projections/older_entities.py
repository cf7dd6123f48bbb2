"""What the services are asked for because the change feed does not have it any more.

Each function asks for one page after a cursor. What events have told meanwhile is not overwritten.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import sqlalchemy as sa

from services.monitoring.projections.entities import (
    project_add_ons,
    project_products,
    project_seats,
    project_teams,
)
from services.monitoring.projections.prices import project_prices
from services.monitoring.projections.subscriptions import project_invoices, project_subscriptions
from services.monitoring.tables import HistoryRow, KnownCustomer, KnownSubscription
from shared.messaging.feed_consumer import keep_newest_of
from shared.messaging.service_client import ServiceClient
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import catalog as c
from tallystick.messages import seats
from tallystick.messages import subscriptions as s
from tallystick.messages.base import Customer, Question

PAGE = 200
"""The largest page of a list question."""
OWNERS_AT_ONCE = 20
"""Customers or teams of which everything is asked for at the same time."""
Save = Callable[[UnitOfWork], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Answered:
    """One page: where the next one begins, how many entities were seen, and how to keep them."""

    following: str | None
    seen: int
    save: Save


async def ask_catalog(client: ServiceClient, _: UnitOfWork, __: str | None) -> Answered:
    """Ask for all products and prices."""
    products = (await client.ask(c.GetCatalog(include_archived=True))).catalog.products
    prices = [price for product in products for price in product.prices]

    async def save(work: UnitOfWork) -> None:
        await project_products(work, products)
        await project_prices(work, prices)

    return Answered(None, len(prices), save)


async def ask_customers(client: ServiceClient, _: UnitOfWork, cursor: str | None) -> Answered:
    """Ask for a page of customers."""
    page = await client.ask(s.ListCustomers(limit=PAGE, cursor=cursor))
    rows = [{"customer": each.token, "version": each.version} for each in page.items]

    async def save(work: UnitOfWork) -> None:
        await keep_newest_of(work, KnownCustomer, rows)

    return Answered(page.next_cursor, len(rows), save)


async def ask_subscriptions(client: ServiceClient, _: UnitOfWork, cursor: str | None) -> Answered:
    """Ask for a page of subscriptions."""
    page = await client.ask(s.ListSubscriptions(limit=PAGE, cursor=cursor))

    async def save(work: UnitOfWork) -> None:
        ids = [each.subscription_id for each in page.items]
        query = sa.select(KnownSubscription.subscription_id).where(KnownSubscription.subscription_id.in_(ids))
        known = set(await work.session.scalars(query))
        unknown = [each for each in page.items if each.subscription_id not in known]
        if unknown:
            await project_subscriptions(work, [(each, work.now) for each in unknown])

    return Answered(page.next_cursor, len(page.items), save)


async def ask_invoices(client: ServiceClient, reading: UnitOfWork, cursor: str | None) -> Answered:
    """Ask for the invoices of some customers; they count from the time they were created."""
    customers, following = await _next_customers(reading, cursor)
    found = await _all_of(client, [s.ListInvoices(customer=one, limit=PAGE) for one in customers])

    async def save(work: UnitOfWork) -> None:
        ids = [each.invoice_id for each in found]
        query = sa.select(HistoryRow.entity_id).where(HistoryRow.entity_id.in_(ids))
        known = set(await work.session.scalars(query))
        unknown = [each for each in found if each.invoice_id not in known]
        if unknown:
            await project_invoices(work, [(each, each.created_at) for each in unknown])

    return Answered(following, len(found), save)


async def ask_add_ons(client: ServiceClient, reading: UnitOfWork, cursor: str | None) -> Answered:
    """Ask for the add-ons of some customers."""
    customers, following = await _next_customers(reading, cursor)
    found = await _all_of(client, [s.ListAddOns(customer=one, limit=PAGE) for one in customers])

    async def save(work: UnitOfWork) -> None:
        if found:
            await project_add_ons(work, found)

    return Answered(following, len(found), save)


async def ask_teams(client: ServiceClient, _: UnitOfWork, cursor: str | None) -> Answered:
    """Ask for a page of teams, and for their seats."""
    page = await client.ask(seats.ListTeams(limit=OWNERS_AT_ONCE, cursor=cursor))
    found = await _all_of(client, [seats.ListSeats(team_id=one.team_id, limit=PAGE) for one in page.items])

    async def save(work: UnitOfWork) -> None:
        if page.items:
            await project_teams(work, page.items)
        if found:
            await project_seats(work, found)

    return Answered(page.next_cursor, len(page.items), save)


async def _next_customers(reading: UnitOfWork, cursor: str | None) -> tuple[list[Customer], str | None]:
    """Return the known customers after a token, and the token to go on from; None after the last."""
    query = sa.select(KnownCustomer.customer).where(KnownCustomer.customer > (cursor or ""))
    query = query.order_by(KnownCustomer.customer).limit(OWNERS_AT_ONCE)
    tokens = list(await reading.session.scalars(query))
    following = tokens[-1] if len(tokens) == OWNERS_AT_ONCE else None
    return [Customer.from_token(token) for token in tokens], following


async def _all_of(client: ServiceClient, questions: Sequence[Question[Any]]) -> list[Any]:
    """Return the items of all pages of list questions, which are asked side by side."""
    return list(chain.from_iterable(await asyncio.gather(*(_pages(client, one) for one in questions))))


async def _pages(client: ServiceClient, question: Question[Any]) -> list[Any]:
    page = await client.ask(question)
    items = list(page.items)
    while page.next_cursor is not None:
        page = await client.ask(question.model_copy(update={"cursor": page.next_cursor}))
        items += page.items
    return items
