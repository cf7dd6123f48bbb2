"""`./dev demo`: fills the running sandbox with a year of made-up life, so that charts have something to show.

Customers are registered, and their units are used, with commands like those of any other service. What
happened to their subscriptions over the year is told on the change feed alone, as the events of that time:
nobody can wait a year, and the services date what they do by the clock. So the audit, which compares the feed
with the tables, is not for such a sandbox.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import secrets
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sandbox.demo_lives import Catalog, DemoEvent, Json, Life, lives, stamp

CUSTOMERS = 300
SEED = 7
PREFIX = "billing"
TIMEOUT_SECONDS = 20.0
AT_ONCE = 64
"""Publishes, and requests, under way at a time."""
DAILY = 60
"""Days before today with a snapshot each; before them there is one a week."""
USED_AT_A_TIME = 25
"""Customers who use units between two snapshots."""
FEATURES = ("products", "team_members", "mentorship_hours", "orders")


class Demo:
    """One run, with the connections of the users that it needs."""

    def __init__(self, client: Client, admin: Client, clock: Client, progress: Progress) -> None:
        self._client, self._admin, self._clock, self._progress = client, admin, clock, progress
        self._registered: set[int] = set()
        self._dice = random.Random(SEED)  # noqa: S311 - made-up data

    async def run(self, customers: int, now: datetime) -> None:
        """Tell the year, day by day, with snapshots between."""
        answer = await self._ask("subscriptions", "get_catalog", {})
        found = lives(Catalog.of(answer["catalog"]), customers, now, SEED)
        events = sorted(
            ((event, life) for life in found for event in life.events()), key=lambda pair: pair[0].at
        )
        task = self._progress.add_task("A year of customers", total=len(events))
        told = 0
        for day in _snapshot_days(now):
            due = [pair for pair in events[told:] if pair[0].at <= day]
            told += len(due)
            await self._register({life.number: life for _, life in due}.values())
            await _at_once([self._tell(event) for event, _ in due])
            self._progress.advance(task, len(due))
            await self._settled("BILLING_SERVICE_FEED", "monitoring-feed", "consumables-feed")
            await self._use([life for life in found if life.number in self._registered], day, now)
            await self._snapshot(day)

    async def _register(self, found: Iterable[Life]) -> None:
        new = [life for life in found if life.number not in self._registered]
        self._registered |= {life.number for life in new}
        commands = [
            {
                "command_id": f"demo-register-{life.number}",
                "customer": life.customer,
                "email": f"billing@{life.customer['id']}.example.com",
                "name": f"Demo {life.number:03d}",
            }
            for life in new
        ]
        await _at_once([self._ask("subscriptions", "register_customer", each) for each in commands])

    async def _tell(self, event: DemoEvent) -> None:
        token = f"{event.customer['type']}_{event.customer['id']}"
        event_id = f"evt_demo{event.snapshot[event.entity + '_id'].partition('_')[2]}v{event.version}"
        body = {
            "event_id": event_id,
            "occurred_at": stamp(event.at),
            "version": event.version,
            "caused_by": "./dev demo",
            "customer": event.customer,
            event.entity: event.snapshot,
        }
        headers = {
            "ce-specversion": "1.0",
            "ce-id": event_id,
            "ce-source": "/billing/subscriptions",
            "ce-type": f"billing.{event.entity}.{event.name}V1",
            "ce-time": stamp(event.at),
            "ce-subject": token,
            "content-type": "application/json",
            "Nats-Msg-Id": event_id,
        }
        subject = f"{PREFIX}.change_feed.{event.entity}.{token}.{event.name}V1"
        await self._admin.jetstream(timeout=TIMEOUT_SECONDS).publish(
            subject, json.dumps(body).encode(), headers=headers
        )

    async def _use(self, found: list[Life], day: datetime, now: datetime) -> None:
        """Let some customers use units; on the last days at their time, before them just now."""
        using = self._dice.sample(found, min(len(found), USED_AT_A_TIME))
        recent = {"occurred_at": stamp(min(day, now))} if now - day < timedelta(days=30) else {}
        items = [
            {
                "command_id": f"demo-use-{secrets.token_hex(8)}",
                "consumer": life.customer,
                "feature": feature,
                "quantity": self._dice.randint(1, 4),
                "partial": True,
                **(recent if feature in ("mentorship_hours", "orders") else {}),
            }
            for life in using
            for feature in FEATURES
        ]
        if items:
            fields = {"command_id": f"demo-{secrets.token_hex(8)}", "items": items}
            await self._ask("consumables", "consume_many", fields)

    async def _snapshot(self, day: datetime) -> None:
        body = json.dumps({"at": stamp(day)}).encode()
        subject = f"{PREFIX}.ticks.monitoring.capture_snapshot"
        await self._clock.jetstream(timeout=TIMEOUT_SECONDS).publish(subject, body)
        await self._settled("BILLING_TICKS", "monitoring-ticks")

    async def _settled(self, stream: str, *consumers: str) -> None:
        """Wait until consumers have handled everything on their stream."""
        jetstream = self._admin.jetstream(timeout=TIMEOUT_SECONDS)
        for consumer in consumers:
            while True:
                info = await jetstream.consumer_info(stream, consumer)
                if not (info.num_pending or info.num_ack_pending):
                    break
                await asyncio.sleep(0.05)

    async def _ask(self, service: str, name: str, fields: Json) -> Json:
        reply = await self._client.request(
            f"{PREFIX}.requests.{service}.{name}", json.dumps(fields).encode(), timeout=TIMEOUT_SECONDS
        )
        outcome = json.loads(reply.data)
        result: Json = outcome.get("result") or {}
        return result


def _snapshot_days(now: datetime) -> list[datetime]:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    weekly = [midnight - timedelta(days=days) for days in range(364, DAILY, -7)]
    return [*weekly, *(midnight - timedelta(days=days) for days in range(DAILY, 0, -1)), now]


async def _at_once(calls: list[Any]) -> None:
    turn = asyncio.Semaphore(AT_ONCE)

    async def limited(call: Any) -> None:
        async with turn:
            await call

    await asyncio.gather(*map(limited, calls))


async def _fill(endpoints: Json, customers: int) -> None:
    users = endpoints["nats_users"]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    connections = [
        await nats.connect(users[name], inbox_prefix=f"_INBOX_{name}".encode())
        for name in ("client", "admin", "clock")
    ]
    try:
        with Progress(*columns) as progress:
            client, admin, clock = connections
            await Demo(client, admin, clock, progress).run(customers, datetime.now(UTC))
    finally:
        for connection in connections:
            await connection.close()


def main() -> None:
    """Fill the sandbox whose `endpoints.json` is in the data directory."""
    parser = argparse.ArgumentParser(
        prog="./dev demo", description="Fill a running sandbox with a year of life."
    )
    parser.add_argument("--data", type=Path, default=Path(".tallystick"), help="data directory of `./dev up`")
    parser.add_argument("--customers", type=int, default=CUSTOMERS, help=f"how many customers ({CUSTOMERS})")
    chosen = parser.parse_args()
    try:
        endpoints = json.loads((chosen.data / "endpoints.json").read_text())
    except FileNotFoundError:
        sys.exit(f"There is no {chosen.data / 'endpoints.json'}: start `./dev up` first.")
    try:
        asyncio.run(_fill(endpoints, chosen.customers))
    except (NatsError, OSError, TimeoutError) as error:
        sys.exit(f"The sandbox does not answer ({type(error).__name__}): is `./dev up` running?")
    print(f"Done: see {endpoints.get('gateway', 'the gateway')}/admin, signed in by `./dev token`.")


if __name__ == "__main__":
    main()
