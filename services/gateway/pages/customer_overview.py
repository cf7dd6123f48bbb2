"""Loads the data of the operators' page about one customer."""

import asyncio
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel

from services.gateway.dependencies import GatewayState
from services.gateway.problem_details import ProblemError
from services.gateway.service_client import ServiceClient
from tallystick.client import FeedEvent
from tallystick.messages import consumables, webhooks
from tallystick.messages import seats as seating
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer, Request

Result = TypeVar("Result", bound=BaseModel)

HISTORY_MAX = 100
"""The latest events of the feed; the API lists more."""
STRIPE_EVENTS_MAX = 20
LISTED_MAX = 200


@dataclass(frozen=True, slots=True)
class CustomerOverview:
    """A customer's data in all services and in the feed; empty if a service does not answer."""

    customer: m.CustomerSnapshot
    subscriptions: list[m.SubscriptionSnapshot]
    invoices: list[m.InvoiceSnapshot]
    refunds: list[m.RefundSnapshot]
    disputes: list[m.DisputeSnapshot]
    entitlements: list[m.EntitlementSnapshot]
    balances: list[consumables.BalanceSnapshot]
    team: seating.TeamSnapshot | None
    seats: list[seating.SeatSnapshot]
    feed: list[FeedEvent]
    stripe_events: list[webhooks.StoredEvent]
    """The Stripe events that caused the events of the feed."""


async def load_customer_overview(state: GatewayState, customer: Customer) -> CustomerOverview:
    """Load the overview of a customer. Raises ProblemError if the customer is unknown."""
    services = state.services
    found = await services.request(m.GetCustomer(customer=customer))
    plans, invoices, entitlements, balances, team, feed = await asyncio.gather(
        _none_on_error(services, m.ListSubscriptions(customer=customer, limit=LISTED_MAX)),
        _none_on_error(services, m.ListInvoices(customer=customer, limit=LISTED_MAX)),
        _none_on_error(services, m.ListEntitlements(customer=customer, limit=LISTED_MAX)),
        _none_on_error(services, consumables.ListBalances(consumer=customer, limit=LISTED_MAX)),
        _none_on_error(services, seating.GetTeam(customer=customer)),
        state.change_feed.history(customer, HISTORY_MAX),
    )
    refunds, disputes = await asyncio.gather(
        _none_on_error(services, m.ListRefunds(customer=customer, limit=LISTED_MAX)),
        _none_on_error(services, m.ListDisputes(customer=customer, limit=LISTED_MAX)),
    )
    listing = seating.ListSeats(team_id=team.team.team_id, limit=LISTED_MAX) if team else None
    members = await _none_on_error(services, listing) if listing else None
    return CustomerOverview(
        customer=found.customer,
        subscriptions=plans.items if plans else [],
        invoices=invoices.items if invoices else [],
        refunds=refunds.items if refunds else [],
        disputes=disputes.items if disputes else [],
        entitlements=entitlements.items if entitlements else [],
        balances=balances.items if balances else [],
        team=team.team if team else None,
        seats=members.items if members else [],
        feed=list(reversed(feed)),
        stripe_events=await _stripe_events(services, feed),
    )


async def _stripe_events(services: ServiceClient, feed: list[FeedEvent]) -> list[webhooks.StoredEvent]:
    causes = dict.fromkeys(str(event.body.get("caused_by", "")) for event in reversed(feed))
    event_ids = [cause for cause in causes if cause.startswith("evt_")][:STRIPE_EVENTS_MAX]
    found = await asyncio.gather(
        *(_none_on_error(services, webhooks.GetEvent(event_id=event_id)) for event_id in event_ids)
    )
    return [one.event for one in found if one is not None]


async def _none_on_error(services: ServiceClient, question: Request[Result]) -> Result | None:
    try:
        return await services.request(question)
    except ProblemError:
        return None
