"""Stubs in place of a service for tests of the client, and a NATS that can be restarted."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg

from sandbox.managed_process import Child
from sandbox.nats import Nats

WAIT_SECONDS = 15.0


async def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait until the condition holds; fail with `what` when it does not in time."""
    for _ in range(int(WAIT_SECONDS / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"waited {WAIT_SECONDS:g} s for: {what}")


async def answer(service: NatsClient, subject: str, *replies: dict[str, Any] | bytes) -> list[dict[str, Any]]:
    """Answer requests with these replies in turn, repeating the last one; returns the list of requests."""
    asked: list[dict[str, Any]] = []

    async def reply(message: Msg) -> None:
        asked.append(json.loads(message.data))
        chosen = replies[min(len(asked), len(replies)) - 1]
        await message.respond(chosen if isinstance(chosen, bytes) else json.dumps(chosen).encode())

    await service.subscribe(subject, cb=reply)
    await service.flush()
    return asked


CUSTOMER = {"type": "organization", "id": "acme"}


def subscription_event(version: int, identifier: str = "sub_1", **more: Any) -> dict[str, Any]:
    """The body of a subscription's event."""
    return {
        "event_id": f"evt_{identifier}v{version}",
        "occurred_at": "2026-02-01T00:00:00Z",
        "version": version,
        "caused_by": "test",
        "customer": CUSTOMER,
        "subscription": {
            "subscription_id": identifier,
            "version": version,
            "customer": CUSTOMER,
            "status": "active",
            "collection": "automatic",
            "items": [],
            "current_period_start": None,
            "current_period_end": None,
            "trial_end": None,
            "cancel_at_period_end": False,
            "canceled_at": None,
            "ended_at": None,
            "grace_until": None,
            "scheduled_change": None,
            "stripe_subscription_id": None,
            "created_at": "2026-01-01T00:00:00Z",
        },
        **more,
    }


async def emit(
    admin: NatsClient,
    *bodies: dict[str, Any],
    entity: str = "subscription",
    customer: str = "organization_acme",
    event: str = "changedV1",
) -> None:
    """Publish events on the feed, as the relay does."""
    for body in bodies:
        await admin.jetstream().publish(
            f"billing.change_feed.{entity}.{customer}.{event}", json.dumps(body).encode(), timeout=5
        )


class OwnNats:
    """A NATS that the test may kill and start again."""

    def __init__(self, server: Nats, child: Child) -> None:
        self.server = server
        self._child = child

    def kill(self) -> None:
        """Kill the server without a shutdown."""
        self._child.kill()

    def start(self) -> None:
        """Start it again on the same files."""
        self._child = self.server.start(self.server.store.parent / "log")

    def end(self) -> None:
        """Stop what the test left running."""
        self._child.stop()
