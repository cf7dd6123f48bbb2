"""Test clocks: simulated time of a customer, in which due steps run in order."""

from __future__ import annotations

from sandbox.stripe.account import TEST_CLOCK, Account, Json
from sandbox.stripe.billing import calendar, changes, subscription_status
from sandbox.stripe.billing.calendar import DAY
from sandbox.stripe.faults import invalid
from sandbox.stripe.lists import page
from sandbox.stripe.parameters import LIST, integer, text
from sandbox.stripe.routing import Route

KEPT_SECONDS = 30 * DAY
"""Stripe deletes a test clock after thirty days."""
MAX_INTERVALS = 2
"""Stripe's limit per advance: two intervals of the shortest subscription on the clock."""
MAX_AHEAD_SECONDS = 2 * 366 * DAY
"""Stripe's limit per advance without a subscription: two years."""


def create(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/test_helpers/test_clocks`."""
    now = account.now()
    clock = account.insert(
        {
            "id": account.new_id("clock"),
            "object": TEST_CLOCK,
            "created": now,
            "deletes_after": now + KEPT_SECONDS,
            "frozen_time": params["frozen_time"],
            "livemode": False,
            "name": params.get("name"),
            "status": "ready",
            "status_details": {},
        }
    )
    account.emit("test_helpers.test_clock.created", clock)
    return clock


def retrieve(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/test_helpers/test_clocks/{id}`."""
    return account.get(TEST_CLOCK, ids["id"])


def list_clocks(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/test_helpers/test_clocks`."""
    return page(account.all(TEST_CLOCK), params, "/v1/test_helpers/test_clocks")


def delete(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`DELETE /v1/test_helpers/test_clocks/{id}`, with its customers and their subscriptions."""
    clock = account.refer(TEST_CLOCK, ids["id"], "id")
    for customer in account.find("customer", test_clock=clock["id"]):
        account.emit("customer.deleted", customer)
        gone = {"id": customer["id"], "object": "customer", "deleted": True}
        customer.clear()
        customer.update(gone)
    account.emit("test_helpers.test_clock.deleted", clock)
    account.remove(clock)
    return {"id": clock["id"], "object": TEST_CLOCK, "deleted": True}


def advance(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/test_helpers/test_clocks/{id}/advance`.

    It is completed before the response, which says `advancing` like Stripe's.
    """
    clock = account.refer(TEST_CLOCK, ids["id"], "id")
    target = params["frozen_time"]
    if target <= clock["frozen_time"]:
        raise invalid("The new frozen time must be after the current one.", "frozen_time")
    _check_distance(account, clock, target)
    status_details = {"advancing": {"target_frozen_time": target}}
    clock.update(status="advancing", status_details=status_details)
    account.emit("test_helpers.test_clock.advancing", clock)
    account.run_due(target, clock["id"])
    clock.update(status="ready", frozen_time=target, status_details={})
    account.emit("test_helpers.test_clock.ready", clock)
    return {**clock, "status": "advancing", "status_details": status_details}


def _check_distance(account: Account, clock: Json, target: int) -> None:
    now = clock["frozen_time"]
    furthest = now + MAX_AHEAD_SECONDS
    for subscription in account.each("subscription", test_clock=clock["id"]):
        if subscription["status"] not in subscription_status.ENDED:
            interval, count = changes.cycle_of(subscription)
            furthest = min(furthest, calendar.boundary(now, interval, count, MAX_INTERVALS))
    if target > furthest:
        raise invalid(
            "The new frozen time is too far in the future: a clock can be advanced by at most two intervals"
            f" of the shortest subscription on it, until {furthest}.",
            "frozen_time",
            "test_clock_advance_too_far",
        )


_PATH = "/v1/test_helpers/test_clocks"

ROUTES = [
    Route("POST", _PATH, create, {"frozen_time!": integer, "name": text}),
    Route("GET", _PATH, list_clocks, LIST),
    Route("GET", _PATH + "/{id}", retrieve, {}),
    Route("DELETE", _PATH + "/{id}", delete, {}),
    Route("POST", _PATH + "/{id}/advance", advance, {"frozen_time!": integer}),
]
