"""Events, listed for thirty days."""

from __future__ import annotations

import json
from functools import partial

from sandbox.stripe.account import Account, Action, Json, public
from sandbox.stripe.faults import invalid
from sandbox.stripe.lists import page
from sandbox.stripe.parameters import LIST, boolean, text
from sandbox.stripe.routing import Route

KEPT_SECONDS = 30 * 24 * 3600
MAX_TYPES = 20
"""Stripe's limit of `types[]`."""


def full_event(event: Json) -> Json:
    """Return the event as returned and delivered."""
    shown: Json = public(event)
    return {**shown, "data": json.loads(event["_data"])}


def retrieve(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/events/{id}`."""
    return full_event(account.get("event", ids["id"]))


def list_events(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/events`, by `type` (may end with `*`), `types`, `created` and `delivery_success`."""
    if params.get("type") and params.get("types"):
        raise invalid("You may only specify one of these parameters: type, types.", "types")
    wanted = [params["type"]] if params.get("type") else params.get("types") or ["*"]
    if len(wanted) > MAX_TYPES:
        raise invalid(f"You may pass at most {MAX_TYPES} types.", "types")
    found = [event for event in account.all("event") if any(_matches(event["type"], each) for each in wanted)]
    if params.get("delivery_success") is not None:
        found = [event for event in found if (event["pending_webhooks"] == 0) == params["delivery_success"]]
    listed = page(found, params, "/v1/events")
    return {**listed, "data": [full_event(event) for event in listed["data"]]}


def due(account: Account, until: int, clock_id: str | None) -> list[tuple[int, Action]]:
    """Delete events older than thirty days; by the wall clock, even for a test clock."""
    oldest = account.first("event")
    if clock_id is not None or oldest is None or oldest["_kept_since"] + KEPT_SECONDS > until:
        return []
    return [(until, partial(_delete, account, until - KEPT_SECONDS))]


def _delete(account: Account, before: int) -> None:
    for event in account.each("event"):
        if event["_kept_since"] > before:
            return
        account.remove(event)


def _matches(event_type: str, wanted: str) -> bool:
    return event_type.startswith(wanted[:-1]) if wanted.endswith("*") else event_type == wanted


ROUTES = [
    Route(
        "GET",
        "/v1/events",
        list_events,
        {**LIST, "type": text, "types": [text], "delivery_success": boolean},
    ),
    Route("GET", "/v1/events/{id}", retrieve, {}),
]
