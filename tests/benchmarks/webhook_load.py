"""The load of the webhook benchmark: signed events over kept-alive connections, as fast as they are answered.

In a process of its own: `python -m tests.benchmarks.webhook_load HOST PORT SECRET PATH FIRST COUNT SECONDS`.
"""

import asyncio
import hashlib
import hmac
import json
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

import uvloop

CONNECTIONS = 32
WORDS = ("team", "seat", "plan", "hours", "of", "the", "renewed", "annual", "order", "credit", "number", "17")
PAYLOAD_BYTES = 2_560
"""2.5 KB: what an event about a subscription with one item has."""


def payload(number: int) -> bytes:
    """An event about a subscription, different for each number."""
    subscription = {
        "id": f"sub_bench{number:012}",
        "object": "subscription",
        "status": "active",
        "customer": f"cus_bench{number % 1_000:06}",
        "cancel_at_period_end": False,
        "currency": "eur",
        "collection_method": "charge_automatically",
        "latest_invoice": f"in_bench{number:012}",
        "default_payment_method": None,
        "items": {
            "object": "list",
            "data": [
                {
                    "id": f"si_bench{number:012}",
                    "object": "subscription_item",
                    "current_period_start": 1_767_225_600,
                    "current_period_end": 1_769_904_000,
                    "quantity": 5,
                    "price": {
                        "id": "price_bench",
                        "object": "price",
                        "currency": "eur",
                        "lookup_key": "team_monthly",
                        "recurring": {"interval": "month", "interval_count": 1, "usage_type": "licensed"},
                        "unit_amount": 1_000,
                    },
                }
            ],
            "has_more": False,
        },
        "metadata": {},
    }
    event = {
        "id": f"evt_bench{number:012}",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": 1_767_225_600,
        "data": {"object": subscription},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": "customer.subscription.updated",
    }
    missing = PAYLOAD_BYTES - len(json.dumps(event)) - len('"note": ""')
    note = " ".join(random.Random(number).choices(WORDS, k=missing // 3))
    subscription["metadata"] = {"note": note[:missing]}
    return json.dumps(event).encode()


def request(path: str, secret: str, number: int) -> bytes:
    """The whole HTTP request, signed now."""
    body = payload(number)
    now = str(int(time.time()))
    signature = hmac.new(secret.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: bench",
        "Content-Type: application/json; charset=utf-8",
        "User-Agent: Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        f"Stripe-Signature: t={now},v1={signature}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(slots=True)
class Tally:
    """Results of all connections."""

    requests: Iterator[bytes]
    until: float
    answered: int = 0
    refused: int = 0
    delays: list[float] = field(default_factory=list)


class Connection(asyncio.Protocol):
    """Sends a request, waits for the whole answer, sends the next one."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.done = asyncio.get_running_loop().create_future()
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own is no subclass
        self.next()

    def next(self) -> None:
        body = next(self.tally.requests, None) if time.perf_counter() < self.tally.until else None
        if body is None:
            self.transport.close()
            return
        self.started = time.perf_counter()
        self.transport.write(body)

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, separator, body = self.received.partition(b"\r\n\r\n")
        if not separator:
            return
        _, _, rest = head.partition(b"content-length: ")
        if len(body) < int(rest.partition(b"\r\n")[0]):
            return
        self.tally.delays.append(time.perf_counter() - self.started)
        if head.startswith(b"HTTP/1.1 200"):
            self.tally.answered += 1
        else:
            self.tally.refused += 1
        self.received = b""
        self.next()

    def connection_lost(self, error: Exception | None) -> None:
        self.done.set_result(error)


async def load(host: str, port: int, requests: list[bytes], seconds: float) -> dict[str, float]:
    """Send requests until the time is over or there are no more of them."""
    started, cpu_started = time.perf_counter(), time.process_time()
    tally = Tally(iter(requests), started + seconds)
    loop = asyncio.get_running_loop()
    opened = [await loop.create_connection(lambda: Connection(tally), host, port) for _ in range(CONNECTIONS)]
    await asyncio.gather(*(protocol.done for _, protocol in opened))
    elapsed = time.perf_counter() - started
    cpu_seconds = time.process_time() - cpu_started
    delays = sorted(tally.delays)
    return {
        "answered": tally.answered,
        "refused": tally.refused,
        "seconds": round(elapsed, 3),
        "cpu_seconds": round(cpu_seconds, 3),
        "per_second": round(tally.answered / elapsed, 1),
        "p50_ms": round(delays[len(delays) // 2] * 1_000, 2),
        "p99_ms": round(delays[len(delays) * 99 // 100] * 1_000, 2),
    }


def main() -> None:
    host, port, secret, path, first, count, seconds = sys.argv[1:]
    numbers = range(int(first), int(first) + int(count))
    requests = [request(path, secret, number) for number in numbers]
    print(json.dumps(uvloop.run(load(host, int(port), requests, float(seconds)))))


if __name__ == "__main__":
    main()
