"""What services' invariants read with: a bucket's values, and differences that last on a running system."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from pydantic import BaseModel

from shared.audit import PENDING_MAX_SECONDS, Live
from tallystick.subjects import kv_subject

BATCH_KEYS = 500
FETCH_TIMEOUT_SECONDS = 10
RETRY_SECONDS = 0.5
"""Between two looks: on a running system, what is read first may have changed before the rest is read."""


async def lasting(look: Callable[[], Awaitable[list[str]]]) -> list[str]:
    """What is found again and again, for as long as a commit may take to be published."""
    found = await look()
    for _ in range(int(PENDING_MAX_SECONDS / RETRY_SECONDS)):
        if not found:
            break
        await asyncio.sleep(RETRY_SECONDS)
        again = set(await look())
        found = [violation for violation in found if violation in again]
    return found


async def bucket_values(live: Live, bucket: str, model: type[BaseModel]) -> dict[str, Any]:
    """A bucket's keys and values; one that does not read as `model` is given as the bytes it is."""
    found: dict[str, Any] = {}
    config = ConsumerConfig(
        ack_policy=AckPolicy.NONE, deliver_policy=DeliverPolicy.LAST_PER_SUBJECT, mem_storage=True
    )
    reader = await live.nats.jetstream().pull_subscribe(
        kv_subject(bucket, ">"), stream=f"KV_{bucket}", config=config
    )
    remaining = (await reader.consumer_info()).num_pending or 0
    while remaining > 0:
        messages = await reader.fetch(min(remaining, BATCH_KEYS), timeout=FETCH_TIMEOUT_SECONDS)
        remaining -= len(messages)
        for message in messages:
            if (message.headers or {}).get("KV-Operation") is None:
                found[message.subject.removeprefix(kv_subject(bucket, ""))] = _read(model, message.data)
    await reader.unsubscribe()
    return found


def _read(model: type[BaseModel], value: bytes) -> Any:
    try:
        return model.model_validate_json(value)
    except ValueError:
        return value
