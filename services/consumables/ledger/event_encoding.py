"""Encoding of the ledger entries, `consumable` events and bucket values of one transaction.

Events are formatted as JSON text, because building them with the models of `tallystick.messages.consumables`
would take several times as long as the rest of a consumption. Tests validate the text against the models.
Ids, codes and tokens are inserted without escaping, as the models allow no characters that would need it.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import orjson

from services.consumables.domain.balance import Balance, Entry, NewGrant
from shared.ids import new_id
from shared.persistence.outbox import OutboxMessage
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.base import Customer
from tallystick.messages.consumables import EntryKind
from tallystick.subjects import BALANCES_BUCKET, CHANGE_FEED_STREAM, kv_subject

CACHED = 1_000
"""How many customers and times are cached as text: enough for one or two batches."""
EVENTS: dict[EntryKind, str] = {
    # The units in use of an unlimited grant of a limit, which are counted as granted when it ends.
    "granted": "expired",
    "consumed": "consumed",
    "committed": "consumed",
    "reserved": "reserved",
    "released": "released",
    "freed": "released",
    "refunded": "refunded",
    "expired": "expired",
    "revoked": "revoked",
}
"""The event that contains an entry, by kind of entry; the entries of new grants are in `granted`."""
ORDER = ("expired", "revoked", "refunded", "released", "reserved", "consumed")
"""The order in which the events of a balance are emitted in one commit."""


class EventEncoder:
    """Collects the ledger entries of one transaction and adds their events to the outbox."""

    def __init__(self, work: UnitOfWork) -> None:
        self.work = work
        self.entries: list[dict[str, Any]] = []
        """The new rows of the ledger; the keys are the one-letter columns of the writer's statement."""
        self._at = rfc3339(work.now)
        self._batch = new_id("entry")

    def emit_pending(self, balance: Balance, *, revoked: str | None = None) -> None:
        """Emit one event of each kind for the entries of a balance that have not been emitted yet.

        `revoked`: the snapshot of a revoked grant as JSON. Its event is emitted even without entries.
        """
        by_event: dict[str, list[Entry]] = {}
        for entry in balance.entries[balance.emitted :]:
            by_event.setdefault(EVENTS[entry.kind], []).append(entry)
        if revoked is not None:
            by_event.setdefault("revoked", [])
        elif balance.has_lost_unlimited:
            by_event.setdefault("expired", [])
        balance.has_lost_unlimited = False
        for name in ORDER:
            if name in by_event:
                grant = revoked if revoked is not None and name == "revoked" else "null"
                self.emit(balance, name, by_event[name], grant)
        balance.emitted = len(balance.entries)

    def emit_granted(self, balance: Balance, new: NewGrant) -> None:
        """Emit `granted` with the entries of the grants that were just added and the last of those grants."""
        entries = balance.entries[balance.emitted :]
        self.emit(balance, "granted", entries, self._new_grant(balance, new))
        balance.emitted = len(balance.entries)

    def emit_levels(self, balance: Balance) -> None:
        """Emit `low` and `exhausted` if the balance has become so in this transaction."""
        if not balance.unlimited and not balance.was_unlimited:
            if balance.remaining < balance.level <= balance.remaining_before:
                self.emit(balance, "low", ())
            if balance.remaining == 0 < balance.remaining_before:
                self.emit(balance, "exhausted", ())

    def emit(
        self,
        balance: Balance,
        name: str,
        entries: Sequence[Entry],
        grant: str = "null",
        *,
        percent: int | None = None,
    ) -> None:
        """Emit one event of a balance, whose state must already include the entries."""
        balance.version += 1
        event_id = new_id("evt")
        kind, identifier = customer_parts(balance.customer)
        entries_json = orjson.dumps([self._add_entry(balance, entry) for entry in entries]).decode()
        cause = self._cause(entries or balance.entries)
        reached = "" if percent is None else f',"percent":{percent}'
        body = (
            f'{{"event_id":"{event_id}","occurred_at":"{self._at}","version":{balance.version},'
            f'"caused_by":{orjson.dumps(cause).decode()},"customer":{{"type":"{kind}","id":"{identifier}"}},'
            f'"consumable":{balance_json(balance)},"entries":{entries_json},"grant":{grant}'
            f"{reached}}}"
        )
        headers = {
            "ce-specversion": "1.0",
            "ce-id": event_id,
            "ce-source": "/billing/consumables",
            "ce-type": f"billing.consumable.{name}V1",
            "ce-time": self._at,
            "ce-subject": balance.customer,
            "content-type": "application/json",
            **self.work.trace(cause),
        }
        message = OutboxMessage(
            CHANGE_FEED_STREAM,
            self.work.subjects.event("consumable", balance.customer, name),
            body.encode(),
            headers,
            event_id,
            "consumable",
            balance.key,
            balance.version,
            cause,
        )
        self.work.outbox.append(message)

    def put(self, balance: Balance) -> None:
        """Put the remaining units of a balance into the `billing_balances` bucket."""
        remaining = "null" if balance.unlimited else balance.remaining
        value = f'{{"remaining":{remaining},"version":{balance.version}}}'.encode()
        subject = kv_subject(BALANCES_BUCKET, balance.key)
        trace = self.work.trace(self._cause(balance.entries))
        self.work.outbox.append(OutboxMessage(f"KV_{BALANCES_BUCKET}", subject, value, trace))

    def _cause(self, entries: Sequence[Entry]) -> str:
        """Return the id of the first command that caused one of these entries."""
        return next(
            (entry.cause.command_id for entry in entries if entry.cause is not None), self.work.caused_by
        )

    def _add_entry(self, balance: Balance, entry: Entry) -> dict[str, Any]:
        """Add an entry to the rows of the ledger, and return it in the form of events."""
        cause = entry.cause
        entry_id = f"{self._batch}{len(self.entries):05}"
        grant_id = entry.grant.grant_id
        row = {
            "i": entry_id,
            "a": balance.account,
            "f": balance.feature,
            "g": grant_id,
            "k": entry.kind,
            "q": entry.quantity,
        }
        consumer = None
        occurred_at = self._at
        if cause is not None:
            if cause.occurred_at is not None:
                occurred_at = row["o"] = rfc3339(cause.occurred_at)
            row |= {
                "b": cause.command_id,
                "c": cause.consumer,
                "r": cause.reservation_id,
                "m": cause.metadata,
            }
            if cause.consumer is not None:
                kind, identifier = customer_parts(cause.consumer)
                consumer = {"type": kind, "id": identifier}
        self.entries.append(row)
        return {
            "entry_id": entry_id,
            "account": balance.account,
            "feature": balance.feature,
            "grant_id": grant_id,
            "kind": entry.kind,
            "quantity": entry.quantity,
            "consumer": consumer,
            "caused_by": cause.command_id if cause is not None else self.work.caused_by,
            "reservation_id": cause.reservation_id if cause is not None else None,
            "metadata": cause.metadata if cause is not None else None,
            "occurred_at": occurred_at,
        }

    def _new_grant(self, balance: Balance, new: NewGrant) -> str:
        quantity = _number(new.quantity)
        expires_at = f'"{rfc3339(new.expires_at)}"' if new.expires_at else "null"
        return (
            f'{{"grant_id":"{new.grant_id}","version":1,"account":"{balance.account}",'
            f'"feature":"{balance.feature}","quantity":{quantity},"remaining":{quantity},'
            f'"expires_at":{expires_at},"priority":{new.priority},"source":{orjson.dumps(new.source).decode()},'
            f'"revoked":false,"created_at":"{self._at}"}}'
        )


def balance_json(balance: Balance) -> str:
    """Return a balance's snapshot as JSON."""
    is_unlimited = balance.unlimited > 0
    granted = _number(None if is_unlimited else balance.granted + balance.beyond)
    remaining = _number(None if is_unlimited else balance.remaining)
    return (
        f'{{"consumable_id":"{balance.key}","version":{balance.version},"account":"{balance.account}",'
        f'"feature":"{balance.feature}","kind":"{balance.kind}","granted":{granted},'
        f'"consumed":{balance.consumed},"reserved":{balance.reserved},"expired":{balance.expired},'
        f'"remaining":{remaining}}}'
    )


def _number(value: int | None) -> str:
    return "null" if value is None else str(value)


@lru_cache(CACHED)
def customer_parts(token: str) -> tuple[str, str]:
    """Return the type and id of a customer's token."""
    customer = Customer.from_token(token)
    return customer.type, customer.id


@lru_cache(CACHED)
def rfc3339(moment: datetime) -> str:
    """Format a time in UTC as in messages."""
    return moment.isoformat().replace("+00:00", "Z")
