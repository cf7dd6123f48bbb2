"""`/admin`: how everything is doing, everybody's subscriptions, one customer's story, what failed and why."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Form, Path, Query, Request
from starlette.responses import RedirectResponse, Response

from services.gateway.auth.authentication import Operating
from services.gateway.commands import command_for
from services.gateway.dead_letters import letters, retry_letter, the_letter
from services.gateway.dependencies import Gateway
from services.gateway.pages.billing_data import unless_away
from services.gateway.pages.customer_overview import story_of
from services.gateway.pages.dependencies import Shown
from services.gateway.pages.forms import SEE_OTHER, FormCommandId
from services.gateway.pages.page_route import PageRoute
from services.gateway.worker_status import look_at_workers
from tallystick.messages import subscriptions as m
from tallystick.messages import webhooks
from tallystick.messages.base import Customer

router = APIRouter(prefix="/admin", include_in_schema=False, route_class=PageRoute)

SHOWN_MAX = 50
Cursor = Annotated[str | None, Query(max_length=200)]
Search = Annotated[str, Query(max_length=100)]


@router.get("")
async def overview(
    request: Request,
    caller: Operating,
    gateway: Gateway,
    shown: Shown,
    search: Search = "",
    status: str = "",
    cursor: Cursor = None,
) -> Response:
    """Health and lag of every worker, customers by search, subscriptions by status, and the feed."""
    wanted = search.strip() or None
    listing = m.ListSubscriptions.model_validate(
        {"status": status or None, "limit": SHOWN_MAX, "cursor": cursor}
    )
    workers, subscriptions, customers = await asyncio.gather(
        look_at_workers(gateway.billing),
        unless_away(shown.billing.ask(listing)),
        unless_away(shown.billing.ask(m.ListCustomers(search=wanted, limit=SHOWN_MAX))),
    )
    return shown.templates.page(
        request,
        "admin/overview.html",
        caller=caller,
        workers=workers,
        subscriptions=subscriptions,
        customers=customers,
        search=search,
        chosen=status,
        statuses=m.Status.__args__,  # type: ignore[attr-defined]
    )


@router.get("/customers/{customer}")
async def customer(
    request: Request,
    caller: Operating,
    gateway: Gateway,
    shown: Shown,
    customer: Annotated[str, Path(pattern=r"^(user|organization)_[A-Za-z0-9-]{1,64}$")],
) -> Response:
    """One customer's whole story."""
    story = await story_of(gateway, Customer.from_token(customer))
    return shown.templates.page(request, "admin/customer.html", caller=caller, story=story)


@router.get("/events")
async def events(
    request: Request, caller: Operating, shown: Shown, status: str = "", cursor: Cursor = None, done: str = ""
) -> Response:
    """Stripe's events, and what became of them."""
    question = webhooks.ListEvents.model_validate(
        {"status": status or None, "limit": SHOWN_MAX, "cursor": cursor}
    )
    found = await shown.billing.ask(question)
    return shown.templates.page(
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
    caller: Operating,
    shown: Shown,
    command_id: FormCommandId,
    event_id: Annotated[str, Form(max_length=200)],
) -> Response:
    """Have an event applied again."""
    await shown.billing.ask(command_for(webhooks.Replay, caller, command_id, event_ids=[event_id]))
    return RedirectResponse("/admin/events?done=replayed", SEE_OTHER)


@router.get("/dead-letters")
async def dead_letters(
    request: Request, caller: Operating, gateway: Gateway, shown: Shown, done: str = ""
) -> Response:
    """What failed for good, newest first."""
    found = [letter async for letter in letters(gateway.billing)][-SHOWN_MAX:]
    return shown.templates.page(
        request, "admin/dead_letters.html", caller=caller, letters=list(reversed(found)), done=done
    )


@router.post("/dead-letters/retry")
async def retry(
    caller: Operating,
    gateway: Gateway,
    command_id: FormCommandId,
    number: Annotated[int, Form(ge=1, le=2**63 - 1)],
) -> Response:
    """Have a message handled again."""
    letter = await the_letter(gateway.billing, number)
    await retry_letter(gateway.billing, letter, caller, command_id)
    return RedirectResponse("/admin/dead-letters?done=retried", SEE_OTHER)
