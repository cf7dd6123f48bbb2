"""Delivery of events to webhook endpoints: signed, with retries, and with injected faults.

Tests inject faults at `/_sandbox/deliveries` (no key; form or JSON). `POST` sets any of these:

- `drop`: lose the next N deliveries permanently (the events can still be listed, as after an outage);
- `duplicate`: send each of the next N deliveries twice;
- `shuffle`: true to send waiting deliveries in random order (`seed` makes it repeatable);
- `paused`: true to hold all deliveries, false to continue;
- `retry_now`: true to retry all waiting deliveries immediately.

`GET` shows the settings and the waiting deliveries.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import http.client
import json
import logging
import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from sandbox.stripe.account import Account, Json
from sandbox.stripe.events import full_event
from sandbox.stripe.parameters import boolean, integer
from sandbox.stripe.routing import Route

log = logging.getLogger("sandbox.stripe")

KIND = "_delivery"
TIMEOUT_SECONDS = 10
FIRST_RETRY_SECONDS = 1
LONGEST_RETRY_SECONDS = 300
"""Shorter than Stripe's retry delays, which range from minutes to hours."""
GIVE_UP_SECONDS = 3 * 24 * 3600
"""Stripe retries for three days."""
IDLE_SECONDS = 1.0
MAX_THREADS = 4
"""Number of endpoints served in parallel; each endpoint gets its events sequentially."""


def knobs(account: Account) -> Json:
    """Return the live fault settings."""
    found = account.find("_knobs")
    if found:
        return found[0]
    return account.insert(
        {
            "id": "deliveries",
            "object": "_knobs",
            "drop": 0,
            "duplicate": 0,
            "shuffle": False,
            "paused": False,
            "seed": 0,
        }
    )


def set_knobs(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /_sandbox/deliveries`."""
    settings = knobs(account)
    if params.pop("retry_now", False):
        for delivery in account.find(KIND):
            delivery["next_at"] = 0
    settings.update(params)
    return show_knobs(account, {}, ids)


def show_knobs(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /_sandbox/deliveries`."""
    waiting = [{key: item[key] for key in ("event", "endpoint", "attempts")} for item in account.find(KIND)]
    return {**knobs(account), "object": "deliveries", "waiting": waiting}


def signature(secret: str, payload: str, at: int) -> str:
    """Return the `Stripe-Signature` header of a payload."""
    digest = hmac.new(secret.encode(), f"{at}.{payload}".encode(), hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def post(url: str, payload: str, secret: str) -> int:
    """Send one delivery; return the HTTP status, or 0 without a response."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        "Stripe-Signature": signature(secret, payload, int(time.time())),
    }
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("POST", path, payload.encode(), headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


class Deliverer:
    """Background task that sends queued deliveries."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._wake = asyncio.Event()
        self._threads = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="deliver")
        account.after_commit.append(self._wake.set)

    async def run(self) -> None:
        """Send deliveries until cancelled."""
        try:
            while True:
                self._wake.clear()
                try:
                    due = self._due()
                    await asyncio.gather(*(self._drain(queue) for queue in due.values()))
                except Exception:
                    log.exception("delivering has failed, and goes on")
                    due = {}
                if not due:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), IDLE_SECONDS)
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _due(self) -> dict[str, list[Json]]:
        """Return the deliveries that are due, by endpoint."""
        settings = knobs(self._account)
        if settings["paused"]:
            return {}
        queues: dict[str, list[Json]] = {}
        for delivery in self._account.each(KIND):
            if delivery["next_at"] <= time.time():
                queues.setdefault(delivery["endpoint"], []).append(delivery)
        if settings["shuffle"]:
            for queue in queues.values():
                random.Random(settings["seed"]).shuffle(queue)  # noqa: S311 - a repeatable order is wanted
        return queues

    async def _drain(self, queue: list[Json]) -> None:
        for delivery in queue:
            if knobs(self._account)["paused"]:
                return
            await self._deliver(delivery)

    async def _deliver(self, delivery: Json) -> None:
        account = self._account
        endpoint = account.peek("webhook_endpoint", delivery["endpoint"])
        event = account.peek("event", delivery["event"])
        dropped, copies = self._fault()
        if endpoint is None or endpoint.get("deleted") or event is None or dropped:
            with account.unit():
                account.remove(account.get(KIND, delivery["id"]))
            return
        payload = json.dumps(full_event(event), indent=2)
        status = 0
        for _ in range(copies):
            status = await asyncio.get_running_loop().run_in_executor(
                self._threads, post, endpoint["url"], payload, endpoint["_secret"]
            )
        with account.unit():
            self._record(delivery, delivered=200 <= status < 300)

    def _fault(self) -> tuple[bool, int]:
        """Return whether to lose the next delivery, and how often to send it."""
        with self._account.unit():
            settings = knobs(self._account)
            if settings["drop"] > 0:
                settings["drop"] -= 1
                return True, 0
            if settings["duplicate"] > 0:
                settings["duplicate"] -= 1
                return False, 2
        return False, 1

    def _record(self, delivery: Json, *, delivered: bool) -> None:
        account = self._account
        delivery = account.get(KIND, delivery["id"])
        if delivered:
            account.remove(delivery)
            event: Any = account.peek("event", delivery["event"])
            if event is not None:
                account.get("event", event["id"])["pending_webhooks"] -= 1
            return
        delivery["attempts"] += 1
        first = delivery.setdefault("first_failed_at", time.time())
        if time.time() - first > GIVE_UP_SECONDS:
            account.remove(delivery)
            return
        wait = min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** (delivery["attempts"] - 1))
        delivery["next_at"] = time.time() + wait


_KNOBS = {
    "drop": integer,
    "duplicate": integer,
    "seed": integer,
    "shuffle": boolean,
    "paused": boolean,
    "retry_now": boolean,
}

ROUTES = [
    Route("GET", "/_sandbox/deliveries", show_knobs, {}, kind="knob"),
    Route("POST", "/_sandbox/deliveries", set_knobs, _KNOBS, kind="knob"),
]
