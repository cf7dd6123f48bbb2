"""Idempotency keys: a repeated request with the same key and parameters gets the first response."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sandbox.stripe.account import Account, Json
from sandbox.stripe.faults import StripeFault

KEPT_SECONDS = 24 * 3600
"""Stripe keeps keys for at least a day."""
MAX_KEYS = 5_000
"""Limit of stored keys, since the SDK sends one with every POST."""
MAX_KEY_LENGTH = 255
KIND = "_idempotency"


def fingerprint(method: str, path: str, params: Json) -> str:
    """Return a hash that identifies equal requests."""
    return hashlib.sha256(json.dumps([method, path, params], sort_keys=True).encode()).hexdigest()


def stored_answer(account: Account, api_key: str, key: str, request: str) -> tuple[int, str, str] | None:
    """Return status, body and request id of the first response, or None. Raises for other parameters."""
    if len(key) > MAX_KEY_LENGTH:
        raise StripeFault(
            f"Idempotency keys can be at most {MAX_KEY_LENGTH} characters.", type="idempotency_error"
        )
    record = account.peek(KIND, _record_id(api_key, key))
    if record is None or record["at"] < account.now() - KEPT_SECONDS:
        return None
    if record["fingerprint"] != request:
        raise StripeFault(
            "Keys for idempotent requests can only be used with the same parameters they were first used"
            " with."
            f" Try using a key other than '{key}' if you meant to execute a different request.",
            type="idempotency_error",
        )
    return record["status"], record["body"], record["request_id"]


def store_answer(account: Account, api_key: str, key: str, request: str, status: int, body: str) -> None:
    """Store a response, and delete the oldest ones beyond the limit."""
    record: dict[str, Any] = {
        "id": _record_id(api_key, key),
        "object": KIND,
        "fingerprint": request,
        "status": status,
        "body": body,
        "request_id": account.request["id"],
        "at": account.now(),
    }
    account.insert(record)
    for surplus in account.oldest(KIND, keep=MAX_KEYS):
        account.remove(surplus)


def _record_id(api_key: str, key: str) -> str:
    return hashlib.sha256(f"{api_key}\n{key}".encode()).hexdigest()
