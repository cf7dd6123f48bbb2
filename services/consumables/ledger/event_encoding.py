"""Events and bucket entries of very many balances, written as text.

The models in `tallystick.messages.consumables` say what these look like, and tests hold this against them;
making each through its model would take several times as long as all the rest of a renewal. What is put
in here without escaping are ids, codes and tokens, which the models keep from holding anything to escape.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from services.consumables.ledger.locked_balances import Standing
from shared.ids import new_id
from shared.persistence.unit_of_work import UnitOfWork
from shared.runtime.tracing import outgoing_headers
from tallystick.messages.base import Customer
from tallystick.subjects import BALANCES_BUCKET, CHANGE_FEED_STREAM, kv_subject

if TYPE_CHECKING:
    from services.consumables.domain.balance import Pool
    from services.consumables.ledger.bulk_writer import Given

COPY_OUTBOX = """
    COPY consumables.outbox
        (message_id, stream, subject, headers, payload, entity, entity_id, version, caused_by, occurred_at)
    FROM STDIN
"""


REMEMBERED = 1_000
"""Customers and moments whose text is kept at hand: those of a batch or two."""


class Moved(NamedTuple):
    """An entry of the ledger, as far as entries of one event differ."""

    entry_id: str
    kind: str
    grant_id: str
    quantity: int


@dataclass(slots=True)
class EventEncoder:
    """Collects the messages of one transaction and writes them into its outbox."""

    work: UnitOfWork
    _rows: list[tuple[Any, ...]] = field(default_factory=list)
    _at: str = ""
    _cause: str = ""
    _trace: str = ""

    def __post_init__(self) -> None:
        self._at = rfc3339(self.work.now)
        self._cause = orjson.dumps(self.work.caused_by).decode()
        traced = orjson.dumps(outgoing_headers()).decode()
        self._trace = "" if traced == "{}" else f",{traced[1:-1]}"

    def emit(self, standing: Standing, name: str, moved: Sequence[Moved], grant: str = "null") -> None:
        """Tell that a balance changed by these entries; it must stand as it does after them."""
        standing.version += 1
        event_id = new_id("evt")
        kind, identifier = customer_parts(standing.customer)
        entries = ",".join([self._entry(standing, entry) for entry in moved])
        body = (
            f'{{"event_id":"{event_id}","occurred_at":"{self._at}","version":{standing.version},'
            f'"caused_by":{self._cause},"customer":{{"type":"{kind}","id":"{identifier}"}},'
            f'"consumable":{balance_json(standing)},"entries":[{entries}],"grant":{grant}}}'
        )
        headers = (
            f'{{"ce-specversion":"1.0","ce-id":"{event_id}","ce-source":"/billing/consumables",'
            f'"ce-type":"billing.consumable.{name}V1","ce-time":"{self._at}",'
            f'"ce-subject":"{standing.customer}","content-type":"application/json"{self._trace}}}'
        )
        subject = self.work.subjects.event("consumable", standing.customer, name)
        about = ("consumable", standing.key, standing.version)
        self._add(event_id, CHANGE_FEED_STREAM, subject, headers, body, *about)

    def emit_granted(
        self, standing: Standing, moved: Sequence[Moved], grant_id: str, given: "Given", source: str
    ) -> None:
        """Tell of a grant that was just made."""
        quantity = _number(given.quantity)
        expires_at = f'"{rfc3339(given.expires_at)}"' if given.expires_at else "null"
        grant = (
            f'{{"grant_id":"{grant_id}","version":1,"account":"{standing.account}",'
            f'"feature":"{standing.feature}","quantity":{quantity},"remaining":{quantity},'
            f'"expires_at":{expires_at},"priority":{given.priority},"source":{source},"revoked":false,'
            f'"created_at":"{self._at}"}}'
        )
        self.emit(standing, "granted", moved, grant)

    def put(self, changed: Sequence[Standing]) -> None:
        """Put each balance that was told of into the bucket, once."""
        headers = f"{{{self._trace[1:]}}}"
        for standing in changed:
            if standing.version == standing.known_version:
                continue
            remaining = _number(None if standing.unlimited else standing.remaining)
            body = f'{{"remaining":{remaining},"version":{standing.version}}}'
            subject = kv_subject(BALANCES_BUCKET, standing.key)
            about = (None, None, None)
            self._add(new_id("msg"), f"KV_{BALANCES_BUCKET}", subject, headers, body, *about)

    async def write(self) -> None:
        """Write the messages."""
        if not self._rows:
            return
        async with self.work.driver.cursor() as cursor, cursor.copy(COPY_OUTBOX) as copy:
            for row in self._rows:
                await copy.write_row(row)

    def _add(self, message_id: str, stream: str, subject: str, headers: str, body: str, *about: Any) -> None:
        cause, now = self.work.caused_by, self.work.now
        self._rows.append((message_id, stream, subject, headers, body.encode(), *about, cause, now))

    def _entry(self, standing: Standing, moved: Moved) -> str:
        return (
            f'{{"entry_id":"{moved.entry_id}","account":"{standing.account}",'
            f'"feature":"{standing.feature}","grant_id":"{moved.grant_id}","kind":"{moved.kind}",'
            f'"quantity":{moved.quantity},"consumer":null,"caused_by":{self._cause},'
            f'"reservation_id":null,"metadata":null,"occurred_at":"{self._at}"}}'
        )


def balance_json(standing: "Standing | Pool") -> str:
    """A balance's snapshot."""
    is_unlimited = standing.unlimited > 0
    granted = _number(None if is_unlimited else standing.granted + standing.beyond)
    remaining = _number(None if is_unlimited else standing.remaining)
    return (
        f'{{"consumable_id":"{standing.key}","version":{standing.version},"account":"{standing.account}",'
        f'"feature":"{standing.feature}","kind":"{standing.kind}","granted":{granted},'
        f'"consumed":{standing.consumed},"reserved":{standing.reserved},"expired":{standing.expired},'
        f'"remaining":{remaining}}}'
    )


def _number(value: int | None) -> str:
    return "null" if value is None else str(value)


@lru_cache(REMEMBERED)
def customer_parts(token: str) -> tuple[str, str]:
    """A customer's type and id, by the token."""
    customer = Customer.from_token(token)
    return customer.type, customer.id


@lru_cache(REMEMBERED)
def rfc3339(moment: datetime) -> str:
    """A moment in UTC as messages say it."""
    return moment.isoformat().replace("+00:00", "Z")
