"""Local mirror of the entitlements bucket that answers from memory and reports its age."""

import asyncio
import json
import logging
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TypeVar

from nats.aio.msg import Msg
from nats.js import api
from pydantic import JsonValue

from tallystick.client.connection import Connection
from tallystick.client.errors import TallystickError, Unreachable
from tallystick.client.pull_consumer import INACTIVE_SECONDS, Interrupted, PullReader
from tallystick.messages.base import Customer
from tallystick.subjects import ENTITLEMENTS_BUCKET, kv_subject
from tallystick.tasks import end

logger = logging.getLogger("tallystick")

FILL_BATCH = 1_000
"""Messages in flight while the mirror fills."""
FILL_TIMEOUT_SECONDS = 60.0
"""Timeout of the first fill; a bucket of a million keys takes about half of it."""
CUSTOMERS_MAX = 500
"""Each filter of a consumer costs the server time per message; mirror all customers if you need more."""
UNREADABLE = (ValueError, KeyError, TypeError, OverflowError, RecursionError)
"""Errors raised for a value that is not an entitlement; RecursionError for deeply nested JSON."""

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class MirroredEntitlement:
    """Entitlement of a customer to a feature, as stored in the bucket."""

    allowed: bool
    quantity: int | None
    """None is unlimited; it has no meaning for a flag."""
    expires_at: datetime | None
    sources: tuple[Mapping[str, JsonValue], ...]
    version: int
    ends_at: float
    """`expires_at` as a Unix timestamp, infinity if it never expires; cheap to compare."""
    upcoming: tuple[tuple[float, "MirroredEntitlement"], ...] = ()
    """What replaces it when one of several sources ends, with the Unix timestamps, earliest first."""
    holds_until: float = math.inf
    """The Unix timestamp of the first of these changes, or `ends_at` if that is earlier."""

    def at(self, now: float) -> "MirroredEntitlement | None":
        """Return what it has become by a Unix timestamp; None once it has expired."""
        if self.holds_until > now:
            return self
        begun = [entitlement for since, entitlement in self.upcoming if since <= now]
        current = begun[-1] if begun else self
        return current if current.ends_at > now else None


class EntitlementsMirror:
    """Mirror of the entitlements of some or all customers.

        async with client.entitlements() as mirror:
            mirror.check(customer, "exports")

    Entering fills it completely; a watch then keeps it current. While NATS is unreachable it answers with the
    last known values, and `age_seconds` increases.
    """

    def __init__(self, connection: Connection, customers: Iterable[Customer | str] | None) -> None:
        self._connection = connection
        self._customers = (
            None if customers is None else sorted({token_of(customer) for customer in customers})
        )
        if self._customers is not None and not 0 < len(self._customers) <= CUSTOMERS_MAX:
            raise ValueError(f"name 1 to {CUSTOMERS_MAX} customers, or none to mirror them all")
        self._reader = PullReader(connection, f"KV_{ENTITLEMENTS_BUCKET}", batch_size=FILL_BATCH)
        self._entitlements: dict[tuple[str, str], MirroredEntitlement] = {}
        self._problems: dict[tuple[str, str], str] = {}
        self._seen_in_fill: set[tuple[str, str]] | None = None
        self._confirmed_at = -math.inf
        self._filled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.revision = 0
        """Bucket revision of the newest change applied to the mirror."""

    def check(self, customer: Customer | str, feature: str) -> bool:
        """Return whether the customer may use the feature now; takes about half a microsecond."""
        token = customer if isinstance(customer, str) else customer.token
        entitlement = self._entitlements.get((token, feature))
        if entitlement is None:
            return False
        now = time.time()
        if entitlement.holds_until > now:
            return entitlement.allowed
        current = entitlement.at(now)
        return current is not None and current.allowed

    def get(self, customer: Customer | str, feature: str) -> MirroredEntitlement | None:
        """Return the entitlement; None if nothing grants the feature or the entitlement has expired."""
        entitlement = self._entitlements.get((token_of(customer), feature))
        return entitlement.at(time.time()) if entitlement is not None else None

    def of(self, customer: Customer | str) -> dict[str, MirroredEntitlement]:
        """Return a customer's entitlements by feature code; scans the whole mirror."""
        token, now = token_of(customer), time.time()
        return {
            feature: current
            for (holder, feature), entitlement in self._entitlements.items()
            if holder == token and (current := entitlement.at(now)) is not None
        }

    def __len__(self) -> int:
        return len(self._entitlements)

    @property
    def problems(self) -> Mapping[str, str]:
        """Unreadable keys of the bucket (`organization_acme.exports`), with the reason.

        `check` and `get` keep answering with the last readable value. A key is removed from here by its next
        readable value or its deletion. `./dev audit` shows details, `./dev replay` repairs the bucket.
        """
        return {f"{customer}.{feature}": why for (customer, feature), why in self._problems.items()}

    @property
    def age_seconds(self) -> float:
        """Seconds since the mirror was last known to be complete; about one while NATS is connected."""
        return time.monotonic() - self._confirmed_at

    @property
    def synced_at(self) -> datetime | None:
        """Time at which the mirror was last known to be complete; None before the first fill."""
        if math.isinf(self._confirmed_at):
            return None
        return datetime.fromtimestamp(time.time() - self.age_seconds, UTC)

    @property
    def connected(self) -> bool:
        """Whether the NATS connection is currently established."""
        return self._connection.connected

    @property
    def pending(self) -> int:
        """Number of changes that the server has not delivered yet."""
        return self._reader.pending

    async def open(self) -> "EntitlementsMirror":
        """Fill the mirror; raises NotProvisioned without a bucket, Unreachable on a timeout."""
        await self._reader.start(self._config())
        self._begin_fill()
        self._task = asyncio.create_task(self._follow(), name="entitlements mirror")
        filled = asyncio.ensure_future(self._filled.wait())
        await asyncio.wait(
            {filled, self._task}, timeout=FILL_TIMEOUT_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        if not filled.done():
            filled.cancel()
            await self.aclose()
            raise Unreachable(f"the entitlements did not arrive within {FILL_TIMEOUT_SECONDS:g} s")
        return self

    async def aclose(self) -> None:
        """Stop following the bucket; the mirrored values can still be read."""
        if self._task is not None:
            await end(self._task)
        await self._reader.close()

    async def __aenter__(self) -> "EntitlementsMirror":
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _follow(self) -> None:
        while True:
            try:
                for message in await self._reader.batch():
                    self._apply(message)
                if self._reader.pending == 0:
                    self._complete()
            except Interrupted as problem:
                logger.info("filling the entitlements again: %s", problem)
                try:
                    await self._reader.restart(self._restart_config)
                except TallystickError:
                    return
                self._begin_fill()
            except Unreachable:
                return

    def _begin_fill(self) -> None:
        # All keys are read again, not only later changes: an old deletion leaves no message to read.
        self._seen_in_fill = set()
        if self._reader.pending == 0:
            self._complete()

    def _complete(self) -> None:
        if self._seen_in_fill is not None:
            for mirrored in (self._entitlements, self._problems):
                for key in mirrored.keys() - self._seen_in_fill:
                    del mirrored[key]
            self._seen_in_fill = None
        self._confirmed_at = time.monotonic()
        self._filled.set()

    def _apply(self, message: Msg) -> None:
        customer, _, feature = message.subject.removeprefix(kv_subject(ENTITLEMENTS_BUCKET, "")).partition(
            "."
        )
        key = (customer, feature)
        self.revision = message.metadata.sequence.stream
        if is_deletion(message):
            self._entitlements.pop(key, None)
            self._problems.pop(key, None)
            if self._seen_in_fill is not None:
                self._seen_in_fill.discard(key)
            return
        if self._seen_in_fill is not None:
            self._seen_in_fill.add(key)
        try:
            self._entitlements[key] = _read(message.data)
        except UNREADABLE as error:
            # No worker writes such a value. The previous value is more likely correct than no entitlement.
            self._problems[key] = f"{type(error).__name__}: {error}"
            logger.error("the entitlement %s.%s cannot be read and is kept: %s", customer, feature, error)
        else:
            self._problems.pop(key, None)

    async def _restart_config(self) -> api.ConsumerConfig:
        return self._config()

    def _config(self) -> api.ConsumerConfig:
        config = api.ConsumerConfig(
            deliver_policy=api.DeliverPolicy.LAST_PER_SUBJECT,
            ack_policy=api.AckPolicy.NONE,
            inactive_threshold=INACTIVE_SECONDS,
            mem_storage=True,
            num_replicas=1,
            max_waiting=64,
        )
        filters = [kv_subject(ENTITLEMENTS_BUCKET, f"{customer}.>") for customer in self._customers or []]
        if len(filters) > 1:
            config.filter_subjects = filters
        else:
            config.filter_subject = filters[0] if filters else kv_subject(ENTITLEMENTS_BUCKET, ">")
        return config


def token_of(customer: Customer | str) -> str:
    """Return the customer token of a `Customer` or of a token; raises ValueError for an invalid token."""
    if isinstance(customer, str):
        return Customer.from_token(customer).token
    return customer.token


def is_deletion(message: Msg) -> bool:
    """Return whether a bucket message deletes its key."""
    headers = message.headers or {}
    return headers.get("KV-Operation") in ("DEL", "PURGE") or "Nats-Marker-Reason" in headers


def _read(data: bytes) -> MirroredEntitlement:
    """Parse the value of a bucket key. Raises one of UNREADABLE."""
    body = json.loads(data)
    if not isinstance(body, dict):
        raise TypeError("the value is not an object")
    version = _of_type(int, body, "version")
    upcoming = tuple(
        (_time(step, "at").timestamp(), _from_json(step, version)) for step in body.get("upcoming") or ()
    )
    current = _from_json(body, version)
    holds_until = min([current.ends_at, *(since for since, _ in upcoming)])
    return replace(current, upcoming=upcoming, holds_until=holds_until)


def _from_json(body: Mapping[str, Any], version: int) -> MirroredEntitlement:
    expires_at = _time(body, "expires_at") if body.get("expires_at") is not None else None
    ends_at = expires_at.timestamp() if expires_at else math.inf
    return MirroredEntitlement(
        allowed=_of_type(bool, body, "allowed"),
        quantity=None if body.get("quantity") is None else _of_type(int, body, "quantity"),
        expires_at=expires_at,
        sources=tuple(_of_type(list, body, "sources")) if body.get("sources") is not None else (),
        version=version,
        ends_at=ends_at,
        holds_until=ends_at,
    )


def _time(body: Mapping[str, Any], name: str) -> datetime:
    moment = datetime.fromisoformat(body[name])
    if moment.tzinfo is None:
        raise ValueError(f"{name} has no time zone")
    return moment


def _of_type(wanted: type[Value], body: Mapping[str, object], name: str) -> Value:
    value = body[name]
    # `isinstance` would accept True as an int.
    if type(value) is not wanted:
        raise TypeError(f"{name} is not of type {wanted.__name__}")
    return value
