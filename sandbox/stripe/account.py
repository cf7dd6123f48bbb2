"""State of the stand-in: all objects by type and id, their events and their clocks.

Objects are plain dicts shaped like Stripe's JSON. Keys that begin with `_` are private fields of the
stand-in: stored, but never returned.
"""

from __future__ import annotations

import json
import secrets
import string
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, Protocol

from sandbox.stripe import API_VERSION
from sandbox.stripe.faults import StripeFault, missing_object
from sandbox.stripe.storage import Storage

Json = dict[str, Any]
Action = Callable[[], object]
DueSource = Callable[["Account", int, "str | None"], list[tuple[int, Action]]]
Include = Callable[["Account", Json], Any]


class Listener(Protocol):
    """Called directly after an event, with the live object instead of the snapshot."""

    def __call__(self, account: Account, obj: Json) -> object:
        """Handle the event."""


TEST_CLOCK = "test_helpers.test_clock"
ID_ALPHABET = string.ascii_letters + string.digits
ID_LENGTHS = {"cus": 14, "prod": 14, "si": 14, "req": 14, "cs_test": 58}
"""Length of the random part if it is not 24, as in Stripe's ids."""
MAX_DUE_STEPS = 100_000
"""Limit of due steps per run; a module whose due work never ends raises an error instead of blocking the
server."""


LINES_SHOWN = 10
"""Number of lines contained in an invoice; all of them are listed at their `url`."""
PREVIEW_PREFIX = "upcoming_in_"
"""Prefix of preview ids, whose objects are not stored."""


def public(value: Any) -> Any:
    """Return a deep copy without private fields, and with the first lines of an invoice only."""
    if isinstance(value, dict):
        shown = {key: public(item) for key, item in value.items() if not key.startswith("_")}
        return _with_first_lines(shown) if shown.get("object") == "invoice" else shown
    if isinstance(value, list):
        return [public(item) for item in value]
    return value


def _with_first_lines(invoice: Json) -> Json:
    lines = invoice.get("lines")
    is_preview = invoice["id"].startswith(PREVIEW_PREFIX)
    if lines and not is_preview and len(lines["data"]) > LINES_SHOWN:
        lines.update(data=lines["data"][:LINES_SHOWN], has_more=True)
    return invoice


class Account:
    """Stripe account in test mode. Single-threaded; each request or due step runs in a `unit`."""

    def __init__(
        self,
        storage: Storage | None = None,
        *,
        public_url: str = "http://127.0.0.1",
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.public_url = public_url
        self.due_sources: list[DueSource] = []
        self.listeners: dict[str, list[Listener]] = {}
        self.includes: dict[tuple[str, str], Include] = {}
        self.after_commit: list[Action] = []
        self.request: Json = {"id": None, "idempotency_key": None}
        self.acting_for: str | None = None
        """The connected account named in the request's header `Stripe-Account`."""
        self._objects: dict[str, dict[str, Json]] = {}
        self._types: dict[str, str] = {}
        self._before: dict[tuple[str, str], str | None] | None = None
        self._storage = storage
        self._wall_clock = wall_clock
        if storage is not None:
            for kind, object_id, obj in storage.load():
                self._objects.setdefault(kind, {})[object_id] = obj
                self._types[object_id] = kind

    # -- objects ------------------------------------------------------------------------------------------

    def new_id(self, prefix: str) -> str:
        """Return a new id such as `sub_…`."""
        length = ID_LENGTHS.get(prefix, 24)
        return prefix + "_" + "".join(secrets.choice(ID_ALPHABET) for _ in range(length))

    def insert(self, obj: Json) -> Json:
        """Store an object by its `object` and `id`, and return it."""
        kind, object_id = obj["object"], obj["id"]
        if self._before is not None:
            self._before.setdefault((kind, object_id), None)
        self._objects.setdefault(kind, {})[object_id] = obj
        self._types[object_id] = kind
        return obj

    def remove(self, obj: Json) -> None:
        """Delete an object completely (most of Stripe's deletes leave a `deleted` stub instead)."""
        self._track(obj)
        self._objects[obj["object"]].pop(obj["id"], None)
        self._types.pop(obj["id"], None)

    def get(self, kind: str, object_id: str, *, param: str = "id", status: int = 404) -> Json:
        """Return the live object, for reading or changing. Raises Stripe's `resource_missing`."""
        obj = self.peek(kind, object_id)
        if obj is None:
            raise missing_object(kind, object_id, param=param, status=status)
        return self._track(obj)

    def refer(self, kind: str, object_id: str, param: str) -> Json:
        """Return the object of a parameter: like `get`, but with a 400 for an unknown or deleted id."""
        obj = self.get(kind, object_id, param=param, status=400)
        if obj.get("deleted"):
            raise missing_object(kind, object_id, param=param, status=400)
        return obj

    def peek(self, kind: str, object_id: str | None) -> Json | None:
        """Return the object for reading only, or None."""
        return self._objects.get(kind, {}).get(object_id or "")

    def by_id(self, object_id: str) -> Json | None:
        """Return the object of any type with this id, for reading only, or None."""
        kind = self._types.get(object_id)
        return None if kind is None else self._objects[kind].get(object_id)

    def all(self, kind: str) -> list[Json]:
        """Return all objects of a type, oldest first, without deleted ones."""
        return self.find(kind)

    def find(self, kind: str, **equals: Any) -> list[Json]:
        """Return the objects of a type with these values, oldest first, without deleted ones."""
        wanted = equals.items()
        return [
            self._track(obj)
            for obj in list(self._objects.get(kind, {}).values())
            if not obj.get("deleted") and all(obj.get(name) == value for name, value in wanted)
        ]

    def each(self, kind: str, **equals: Any) -> list[Json]:
        """Like `find`, but for reading only, which stays cheap with ten thousand objects."""
        wanted = equals.items()
        return [
            obj
            for obj in self._objects.get(kind, {}).values()
            if not obj.get("deleted") and all(obj.get(name) == value for name, value in wanted)
        ]

    def everything(self) -> list[Json]:
        """Return all objects of all types, including deleted ones."""
        return [self._track(obj) for objects in self._objects.values() for obj in list(objects.values())]

    def first(self, kind: str) -> Json | None:
        """Return the oldest object of a type, for reading only, or None."""
        return next(iter(self._objects.get(kind, {}).values()), None)

    def oldest(self, kind: str, *, keep: int) -> list[Json]:
        """Return the objects beyond the `keep` newest, oldest first."""
        objects = self._objects.get(kind, {})
        surplus = max(0, len(objects) - keep)
        return [self._track(obj) for obj in islice(objects.values(), surplus)]

    # -- events -------------------------------------------------------------------------------------------

    def emit(self, event_type: str, obj: Json, previous_attributes: Json | None = None) -> Json:
        """Store an event with a snapshot of the object, and queue its webhook deliveries."""
        data: Json = {"object": public(obj)}
        if previous_attributes is not None:
            data["previous_attributes"] = public(previous_attributes)
        endpoints = [
            endpoint
            for endpoint in self._objects.get("webhook_endpoint", {}).values()
            if endpoint["status"] == "enabled" and {event_type, "*"} & set(endpoint["enabled_events"])
        ]
        event = {
            "id": self.new_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": self.now(obj),
            "livemode": False,
            "pending_webhooks": len(endpoints),
            "request": dict(self.request),
            "type": event_type,
            # Stored as text, because an account has thousands of events and rarely reads them again.
            "_data": json.dumps(data),
            "_kept_since": int(self._wall_clock()),
        }
        connected = obj["id"] if obj["object"] == "account" else obj.get("_account")
        if connected is not None:
            event["account"] = connected
        self.insert(event)
        for endpoint in endpoints:
            self._queue_delivery(event, endpoint)
        for listener in self.listeners.get(event_type, []):
            listener(self, obj)
        return event

    def change(self, obj: Json, event_type: str | None = None, **values: Any) -> Json:
        """Set values, emit the event if any differs, and return the previous attributes."""
        previous = {name: obj.get(name) for name, value in values.items() if obj.get(name) != value}
        if previous:
            obj.update(values)
            if event_type is not None:
                self.emit(event_type, obj, previous)
        return previous

    def on(self, event_type: str, listener: Listener) -> None:
        """Register a listener, called as `listener(account, obj)` directly after each event of this type."""
        self.listeners.setdefault(event_type, []).append(listener)

    def _queue_delivery(self, event: Json, endpoint: Json) -> None:
        self.insert(
            {
                "id": self.new_id("_delivery"),
                "object": "_delivery",
                "event": event["id"],
                "endpoint": endpoint["id"],
                "attempts": 0,
                "next_at": self._wall_clock(),
            }
        )

    # -- time ---------------------------------------------------------------------------------------------

    def now(self, obj: Json | None = None) -> int:
        """Return the time in unix seconds: of the object's or customer's test clock, else the wall clock."""
        clock = self.clock_of(obj)
        return int(self._wall_clock()) if clock is None else int(clock["frozen_time"])

    def clock_of(self, obj: Json | None) -> Json | None:
        """Return an object's test clock, for reading only, or None."""
        if obj is None:
            return None
        if obj.get("object") == TEST_CLOCK:
            return obj
        clock_id = obj.get("test_clock")
        if clock_id is None:
            customer = self.peek("customer", _id_of(obj.get("customer")))
            clock_id = None if customer is None else customer.get("test_clock")
        return self.peek(TEST_CLOCK, clock_id)

    def run_due(self, until: int, clock_id: str | None = None) -> int:
        """Run all steps due by `until` in order, moving a test clock along; return their number."""
        for step in range(MAX_DUE_STEPS):
            waiting = [
                item
                for source in self.due_sources
                for item in source(self, until, clock_id)
                if item[0] <= until
            ]
            if not waiting:
                return step
            at, action = min(waiting, key=lambda item: item[0])
            with self.unit():
                if clock_id is not None:
                    clock = self.get(TEST_CLOCK, clock_id)
                    clock["frozen_time"] = max(clock["frozen_time"], at)
                action()
        raise RuntimeError("due work does not come to an end")

    # -- transactions --------------------------------------------------------------------------------------

    @contextmanager
    def unit(self) -> Iterator[None]:
        """Run a transaction: changes are stored, or rolled back on any error except a failed payment."""
        if self._before is not None:
            yield
            return
        self._before = {}
        try:
            yield
        except StripeFault as fault:
            if fault.status == 402:
                self._commit()
            else:
                self._undo()
            raise
        except BaseException:
            self._undo()
            raise
        else:
            self._commit()
        finally:
            self._before = None

    def _track(self, obj: Json) -> Json:
        """Remember an object's state before this transaction changes it."""
        if self._before is not None:
            key = (obj["object"], obj["id"])
            if key not in self._before:
                self._before[key] = json.dumps(obj)
        return obj

    def _commit(self) -> None:
        assert self._before is not None
        changes: dict[tuple[str, str], str | None] = {}
        for (kind, object_id), before in self._before.items():
            obj = self._objects.get(kind, {}).get(object_id)
            after = None if obj is None else json.dumps(obj)
            if after != before:
                changes[kind, object_id] = after
        if changes and self._storage is not None:
            self._storage.save(changes)
        if changes:
            for action in self.after_commit:
                action()

    def _undo(self) -> None:
        assert self._before is not None
        for (kind, object_id), before in self._before.items():
            objects = self._objects.setdefault(kind, {})
            if before is None:
                objects.pop(object_id, None)
                self._types.pop(object_id, None)
                continue
            obj = objects.setdefault(object_id, {})
            obj.clear()
            obj.update(json.loads(before))
            self._types[object_id] = kind


def _id_of(value: Any) -> str | None:
    """Return the id of a reference that may be expanded."""
    found = value["id"] if isinstance(value, dict) else value
    return found if isinstance(found, str) else None
