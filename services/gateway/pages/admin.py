"""`/admin`: the operators' pages with workers, subscriptions, customers, Stripe events and dead letters."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Form, Path, Query, Request
from starlette.responses import RedirectResponse, Response

from services.gateway.auth.authentication import AdminCaller
from services.gateway.commands import command_for
from services.gateway.dead_letters import read_dead_letter, read_dead_letters, retry_dead_letter
from services.gateway.dependencies import StateDep
from services.gateway.pages.billing_parts import none_if_unavailable
from services.gateway.pages.customer_overview import load_customer_overview
from services.gateway.pages.dependencies import PageContextDep
from services.gateway.pages.forms import SEE_OTHER, FormCommandId
from services.gateway.pages.monitoring import load_snapshots
from services.gateway.pages.monitoring_views import figures, happened
from services.gateway.pages.page_route import PageRoute
from services.gateway.pages.templating import page_translations
from services.gateway.worker_status import load_worker_status
from tallystick.messages import monitoring, webhooks
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer

router = APIRouter(prefix="/admin", include_in_schema=False, route_class=PageRoute)

PAGE_SIZE = 50
SNAPSHOTS_SHOWN = 30
EVENTS_SHOWN = 20
LATEST = 10
"""Refunds and disputes on the overview; a customer's page and the API list more."""
Cursor = Annotated[str | None, Query(max_length=200)]
Search = Annotated[str, Query(max_length=100)]


@router.get("")
async def overview(
    request: Request,
    caller: AdminCaller,
    state: StateDep,
    page: PageContextDep,
    search: Search = "",
    status: str = "",
    cursor: Cursor = None,
) -> Response:
    """Show the workers' health and lag, customers by search, subscriptions by status, and the feed."""
    search_term = search.strip() or None
    listing = m.ListSubscriptions.model_validate(
        {"status": status or None, "limit": PAGE_SIZE, "cursor": cursor}
    )
    workers, subscriptions, customers, snapshots, health, latest = await asyncio.gather(
        load_worker_status(state.services),
        none_if_unavailable(page.services.request(listing)),
        none_if_unavailable(page.services.request(m.ListCustomers(search=search_term, limit=PAGE_SIZE))),
        load_snapshots(page.services, SNAPSHOTS_SHOWN),
        none_if_unavailable(page.services.request(monitoring.GetHealth())),
        none_if_unavailable(state.change_feed.latest(EVENTS_SHOWN)),
    )
    refunds, disputes = await asyncio.gather(
        none_if_unavailable(page.services.request(m.ListRefunds(limit=LATEST))),
        none_if_unavailable(page.services.request(m.ListDisputes(limit=LATEST))),
    )
    translations = page_translations(request, caller)
    return page.templates.render(
        request,
        "admin/overview.html",
        caller=caller,
        workers=workers,
        figures=figures(snapshots, translations),
        figures_at=snapshots[-1].captured_at if snapshots else None,
        condition=health,
        happened=happened(latest or (), translations),
        subscriptions=subscriptions,
        customers=customers,
        refunds=refunds,
        disputes=disputes,
        search=search,
        chosen=status,
        statuses=m.Status.__args__,  # type: ignore[attr-defined]
    )


@router.get("/customers/{customer}")
async def customer(
    request: Request,
    caller: AdminCaller,
    state: StateDep,
    page: PageContextDep,
    customer: Annotated[str, Path(pattern=r"^(user|organization)_[A-Za-z0-9-]{1,64}$")],
    done: str = "",
) -> Response:
    """Show everything about one customer."""
    overview = await load_customer_overview(state, Customer.from_token(customer))
    return page.templates.render(request, "admin/customer.html", caller=caller, overview=overview, done=done)


@router.get("/events")
async def events(
    request: Request,
    caller: AdminCaller,
    page: PageContextDep,
    status: str = "",
    cursor: Cursor = None,
    done: str = "",
) -> Response:
    """List Stripe events with their status."""
    question = webhooks.ListEvents.model_validate(
        {"status": status or None, "limit": PAGE_SIZE, "cursor": cursor}
    )
    found = await page.services.request(question)
    return page.templates.render(
        request,
        "admin/events.html",
        caller=caller,
        events=found,
        done=done,
        chosen=status,
        statuses=webhooks.StoredEventStatus.__args__,  # type: ignore[attr-defined]
    )


@router.post("/events/replay")
async def replay(
    caller: AdminCaller,
    page: PageContextDep,
    command_id: FormCommandId,
    event_id: Annotated[str, Form(max_length=200)],
) -> Response:
    """Apply a Stripe event again."""
    await page.services.request(command_for(webhooks.Replay, caller, command_id, event_ids=[event_id]))
    return RedirectResponse("/admin/events?done=replayed", SEE_OTHER)


@router.get("/dead-letters")
async def dead_letters(
    request: Request, caller: AdminCaller, state: StateDep, page: PageContextDep, done: str = ""
) -> Response:
    """List dead letters, newest first."""
    found = [letter async for letter in read_dead_letters(state.services)][-PAGE_SIZE:]
    return page.templates.render(
        request, "admin/dead_letters.html", caller=caller, letters=list(reversed(found)), done=done
    )


@router.post("/dead-letters/retry")
async def retry(
    caller: AdminCaller,
    state: StateDep,
    command_id: FormCommandId,
    number: Annotated[int, Form(ge=1, le=2**63 - 1)],
) -> Response:
    """Publish the message of a dead letter again."""
    letter = await read_dead_letter(state.services, number)
    await retry_dead_letter(state.services, letter, caller, command_id)
    return RedirectResponse("/admin/dead-letters?done=retried", SEE_OTHER)
