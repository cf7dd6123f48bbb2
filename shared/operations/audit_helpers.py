"""Helpers for services' invariants: a bucket's values, and violations that persist on a running system."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel

from shared.operations.audit import PENDING_MAX_SECONDS, LiveSystem
from shared.operations.stored_messages import stored_messages
from tallystick.client.entitlements import is_deletion
from tallystick.subjects import kv_subject

SHOWN_BYTES = 200
"""How much of a malformed value is shown."""
RETRY_SECONDS = 0.5
"""Pause between two checks: on a running system, data may change between two reads of one check."""


async def lasting_violations(check: Callable[[], Awaitable[list[str]]]) -> list[str]:
    """Repeat a check while a commit may still be unpublished; return the violations of every repetition."""
    found = await check()
    for _ in range(int(PENDING_MAX_SECONDS / RETRY_SECONDS)):
        if not found:
            break
        await asyncio.sleep(RETRY_SECONDS)
        repeated = set(await check())
        found = [violation for violation in found if violation in repeated]
    return found


async def bucket_values(live: LiveSystem, bucket: str, model: type[BaseModel]) -> dict[str, Any]:
    """Read a bucket's keys and values; a value that is no valid `model` is returned as bytes."""
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
