"""The background task that sends webhooks, until the worker stops."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import structlog
from standardwebhooks import Webhook

from services.notifications.clock import Clock
from services.notifications.deliveries.http_client import WebhookClient
from services.notifications.deliveries.queue import Attempt, ClaimedDelivery, claim_due, record_attempts
from services.notifications.draining import drain
from services.notifications.endpoints.signing_secrets import SigningSecrets
from shared.persistence.database import is_database_away
from shared.persistence.group_commit import GroupCommit
from shared.persistence.unit_of_work import Transactions

log = structlog.get_logger()

AT_ONCE_MAX = 512
"""Webhooks that one worker sends at the same time."""
POLL_SECONDS = 0.25
"""How often the queue is looked at while there is nothing due."""
REFILL_SECONDS = 0.01
"""The shortest time between two looks at the queue while there is something due: enough to take several at
once."""
ERROR_SECONDS = 2.0
USER_AGENT = "Tallystick-Webhooks"


@dataclass(frozen=True, slots=True)
class DeliveryTools:
    """What sending webhooks needs beside the database."""

    client: WebhookClient
    signing_secrets: SigningSecrets
    clock: Clock

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()


class Deliverer:
    """Sends what is due; several workers can run it at the same time."""

    def __init__(self, transactions: Transactions, tools: DeliveryTools) -> None:
        self._transactions = transactions
        self._tools = tools
        self._busy: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._freed = asyncio.Event()
        self._results: GroupCommit[Attempt, None] = GroupCommit(
            self._record,
            service="notifications",
            name="attempts",
            isolates=lambda error: not is_database_away(error),
        )

    async def run(self) -> None:
        """Send until cancelled; webhooks that are under way are finished first."""
        try:
            while True:
                await self._wait(await self._turn())
        finally:
            await drain(self._tasks)
            await self._results.close()

    async def deliver_due(self, now: datetime) -> None:
        """Send everything that is due at a moment, and return when that is done."""
        while await self._start(now):
            await asyncio.gather(*self._tasks)

    async def _turn(self) -> float:
        try:
            started = await self._start(self._tools.clock.now())
        except Exception as error:  # noqa: BLE001 - what was claimed is due again when its lease is over
            log.warning("webhooks not sent", error=str(error) or type(error).__name__)
            return ERROR_SECONDS
        return REFILL_SECONDS if started else POLL_SECONDS

    async def _start(self, now: datetime) -> int:
        """Claim what is due and start sending it; return how many."""
        places = AT_ONCE_MAX - len(self._tasks)
        if places <= 0:
            return 0
        claimed = await claim_due(self._transactions, now, self._busy, places)
        for delivery in claimed:
            self._busy[delivery.endpoint_id] += 1
            task = asyncio.create_task(self._deliver(delivery))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return len(claimed)

    async def _deliver(self, delivery: ClaimedDelivery) -> None:
        try:
            headers = self._headers(delivery)
            answer = await self._tools.client.post(delivery.url, delivery.body, headers)
            await self._results.submit(Attempt(delivery, answer))
        except Exception as error:  # noqa: BLE001 - it is due again when its lease is over
            log.warning("webhook not recorded", delivery_id=delivery.delivery_id, error=str(error))
        finally:
            self._busy[delivery.endpoint_id] -= 1
            if not self._busy[delivery.endpoint_id]:
                del self._busy[delivery.endpoint_id]
            self._freed.set()

    def _headers(self, delivery: ClaimedDelivery) -> dict[str, str]:
        now = self._tools.clock.now()
        return {
            "content-type": "application/json",
            "user-agent": USER_AGENT,
            "webhook-id": delivery.event_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signature(delivery, now),
        }

    def _signature(self, delivery: ClaimedDelivery, now: datetime) -> str:
        stored = [delivery.secret]
        until = delivery.previous_secret_until
        if delivery.previous_secret is not None and until is not None and now < until:
            stored.append(delivery.previous_secret)
        body = delivery.body.decode()
        secrets = (self._tools.signing_secrets.decrypt(one) for one in stored)
        return " ".join(Webhook(secret).sign(delivery.event_id, now, body) for secret in secrets)

    async def _record(self, attempts: Sequence[Attempt]) -> list[None]:
        now = self._tools.clock.now()
        async with self._transactions.begin(caused_by="notifications.deliver", now=now) as work:
            await record_attempts(work, attempts)
        return [None] * len(attempts)

    async def _wait(self, seconds: float) -> None:
        """Wait until it is time to look again, or until a webhook has left its place."""
        self._freed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._freed.wait()
        await asyncio.sleep(REFILL_SECONDS)
