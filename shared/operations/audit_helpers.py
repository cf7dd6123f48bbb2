"""What services' invariants read with: a bucket's values, and differences that last on a running system."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel

from shared.operations.audit import PENDING_MAX_SECONDS, LiveSystem
from shared.operations.stored_messages import stored_messages
from tallystick.client.entitlements import is_deletion
from tallystick.subjects import kv_subject

SHOWN_BYTES = 200
"""Of a value that no service has written; it may have a megabyte."""
RETRY_SECONDS = 0.5
"""Between two looks: on a running system, what is read first may have changed before the rest is read."""


async def lasting_violations(look: Callable[[], Awaitable[list[str]]]) -> list[str]:
    """What is found again and again, for as long as a commit may take to be published."""
    found = await look()
    for _ in range(int(PENDING_MAX_SECONDS / RETRY_SECONDS)):
        if not found:
            break
        await asyncio.sleep(RETRY_SECONDS)
        again = set(await look())
        found = [violation for violation in found if violation in again]
    return found


async def bucket_values(live: LiveSystem, bucket: str, model: type[BaseModel]) -> dict[str, Any]:
    """A bucket's keys and values; one that does not read as `model` is given as bytes."""
    found: dict[str, Any] = {}
    async for batch in stored_messages(live.nats, f"KV_{bucket}", newest_only=True):
        for message in batch:
            if not is_deletion(message):
                found[message.subject.removeprefix(kv_subject(bucket, ""))] = _read(model, message.data)
    return found


def _read(model: type[BaseModel], value: bytes) -> Any:
    try:
        return model.model_validate_json(value)
    except ValueError:
        return value[:SHOWN_BYTES]
