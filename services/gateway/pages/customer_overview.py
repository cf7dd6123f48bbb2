"""Everything there is about one customer, for operators."""

import asyncio
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel

from services.gateway.dependencies import Parts
from services.gateway.problem_details import ProblemError
from services.gateway.service_client import Billing
from tallystick.client import FeedEvent
from tallystick.messages import consumables, webhooks
from tallystick.messages import seats as seating
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer, Request

Result = TypeVar("Result", bound=BaseModel)

HISTORY_MAX = 100
"""The latest events of the feed; the rest is in the API."""
STRIPE_EVENTS_MAX = 20
LISTED_MAX = 200


@dataclass(frozen=True, slots=True)
class Story:
    """A customer, and what the services and the feed know of them; None where one does not answer."""

    customer: m.CustomerSnapshot
    subscriptions: list[m.SubscriptionSnapshot]
    invoices: list[m.InvoiceSnapshot]
    entitlements: list[m.EntitlementSnapshot]
    balances: list[consumables.BalanceSnapshot]
    team: seating.TeamSnapshot | None
    seats: list[seating.SeatSnapshot]
    feed: list[FeedEvent]
    stripe_events: list[webhooks.StoredEvent]
    """Those that were behind what the feed tells."""


async def story_of(gateway: Parts, customer: Customer) -> Story:
    """Ask everybody. Raises ProblemError for a customer nobody knows."""
    billing = gateway.billing
    found = await billing.ask(m.GetCustomer(customer=customer))
    plans, invoices, entitlements, balances, team, feed = await asyncio.gather(
        _if_there(billing, m.ListSubscriptions(customer=customer, limit=LISTED_MAX)),
        _if_there(billing, m.ListInvoices(customer=customer, limit=LISTED_MAX)),
        _if_there(billing, m.ListEntitlements(customer=customer, limit=LISTED_MAX)),
        _if_there(billing, consumables.ListBalances(consumer=customer, limit=LISTED_MAX)),
        _if_there(billing, seating.GetTeam(customer=customer)),
        gateway.live.history(customer, HISTORY_MAX),
    )
    listing = seating.ListSeats(team_id=team.team.team_id, limit=LISTED_MAX) if team else None
    members = await _if_there(billing, listing) if listing else None
    return Story(
        customer=found.customer,
        subscriptions=plans.items if plans else [],
        invoices=invoices.items if invoices else [],
        entitlements=entitlements.items if entitlements else [],
        balances=balances.items if balances else [],
        team=team.team if team else None,
        seats=members.items if members else [],
        feed=list(reversed(feed)),
        stripe_events=await _stripe_events(billing, feed),
    )


async def _stripe_events(billing: Billing, feed: list[FeedEvent]) -> list[webhooks.StoredEvent]:
    causes = dict.fromkeys(str(event.body.get("caused_by", "")) for event in reversed(feed))
    wanted = [cause for cause in causes if cause.startswith("evt_")][:STRIPE_EVENTS_MAX]
    found = await asyncio.gather(
        *(_if_there(billing, webhooks.GetEvent(event_id=event_id)) for event_id in wanted)
    )
    return [one.event for one in found if one is not None]


async def _if_there(billing: Billing, question: Request[Result]) -> Result | None:
    try:
        return await billing.ask(question)
    except ProblemError:
        return None
