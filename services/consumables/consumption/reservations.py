"""Reservations of units, which are committed or released, and which expire after their time to live."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import orjson

from services.consumables.consumption.consume import (
    account_suspended,
    decide_all,
    draw_request,
    drawn_parts,
    insufficient,
    preload_statements,
    unit_owner,
)
from services.consumables.domain.balance import (
    Balance,
    Cause,
    Insufficient,
    available,
    draw,
    give_back,
    move,
)
from services.consumables.ledger.rejections import explain_unreached
from services.consumables.ledger.repository import DrawRequest, LedgerBatch, load
from services.consumables.overage.beyond import load_beyond
from services.consumables.recharges.low_balances import write_and_recharge
from services.consumables.service import service
from shared.errors import Rejected
from shared.ids import new_id
from shared.messaging.service import tick_cause
from shared.persistence.unit_of_work import Transactions, UnitOfWork
from tallystick.messages import consumables as m

EXPIRY_BATCH_SIZE = 100
"""Reservations released in one transaction: as many as one `load` of their balances releases."""
INSERT = """
    INSERT INTO consumables.reservations
        (reservation_id, consumer, feature, account, status, drawn, metadata, expires_at, created_at)
    SELECT reservation_id, consumer, feature, account, 'open', drawn, metadata,
           %(now)s + make_interval(secs => ttl), %(now)s
    FROM jsonb_to_recordset(%(rows)s::jsonb) AS new
        (reservation_id text, consumer text, feature text, account text, drawn jsonb, metadata jsonb, ttl int)
"""
SELECT = """
    SELECT reservation_id, consumer, feature, account, status, drawn, metadata, expires_at
    FROM consumables.reservations WHERE reservation_id = ANY(%s)
"""
LOCK = SELECT + " ORDER BY reservation_id FOR UPDATE"
CLOSE = """
    UPDATE consumables.reservations AS old SET status = new.status, used = new.used, closed_at = %s
    FROM jsonb_to_recordset(%s::jsonb) AS new (reservation_id text, status text, used jsonb)
    WHERE old.reservation_id = new.reservation_id
"""
SELECT_DUE = """
    SELECT drawn, feature FROM consumables.reservations
    WHERE status = 'open' AND expires_at <= %s ORDER BY expires_at LIMIT %s
"""


class Reservation(NamedTuple):
    """A stored reservation."""

    reservation_id: str
    consumer: str
    feature: str
    account: str | None
    status: str
    drawn: list[dict[str, Any]]
    metadata: dict[str, str] | None
    expires_at: datetime

    @property
    def quantity(self) -> int:
        """The number of reserved units."""
        return sum(part["quantity"] for part in self.drawn)

    @property
    def draw_request(self) -> DrawRequest:
        """The key under which the balances of its consumer are loaded."""
        return DrawRequest(self.consumer, self.feature, self.account)


@service.command(m.Reserve, together=True, owner=unit_owner, reads=preload_statements)
async def reserve(work: UnitOfWork, commands: Sequence[m.Reserve]) -> list[bytes | Rejected]:
    """Reserve units for each command; results are encoded as JSON."""
    requests = [draw_request(command) for command in commands]
    batch = await load(work, requests)
    reservation_ids = [new_id("reservation") for _ in commands]
    causes = [
        _cause(command, reservation_id)
        for command, reservation_id in zip(commands, reservation_ids, strict=True)
    ]
    decisions = await decide_all(work, batch, commands, "reserved", causes)
    rejections = await explain_unreached(work, batch, requests) if None in decisions else {}
    results: list[bytes | Rejected] = []
    rows = []
    for command, reservation_id, decision in zip(commands, reservation_ids, decisions, strict=True):
        if decision is None or isinstance(decision, Rejected):
            results.append(decision or rejections[draw_request(command)])
            continue
        rows.append(
            {
                "reservation_id": reservation_id,
                "consumer": command.consumer.token,
                "feature": command.feature,
                "account": command.account,
                "drawn": drawn_parts(decision.parts),
                "metadata": command.metadata,
                "ttl": command.ttl_seconds,
            }
        )
        reserved = m.Reserved(
            reservation_id=reservation_id,
            reserved=decision.quantity,
            expires_at=work.now + timedelta(seconds=command.ttl_seconds),
            remaining=decision.remaining,
        )
        results.append(reserved.model_dump_json().encode())
    await write_and_recharge(work, batch)
    if rows:
        await work.driver.execute(INSERT, {"rows": orjson.dumps(rows).decode(), "now": work.now})
    return results


@service.command(m.CommitReservation, together=True)
async def commit_reservation(
    work: UnitOfWork, commands: Sequence[m.CommitReservation]
) -> list[m.Settled | Rejected]:
    """Consume the reserved units of each command.

    A smaller quantity releases the rest; a larger one draws the difference from what is free.
    """
    settlement = await ReservationSettlement.open(work, [command.reservation_id for command in commands])
    results: list[m.Settled | Rejected] = []
    for command in commands:
        reservation = settlement.find_open(command.reservation_id)
        if isinstance(reservation, Rejected):
            results.append(reservation)
            continue
        quantity = command.quantity if command.quantity is not None else reservation.quantity
        consumed = await settlement.commit(reservation, quantity, command.command_id, partial=command.partial)
        if isinstance(consumed, Rejected):
            results.append(consumed)
            continue
        results.append(m.Settled(consumed=consumed, remaining=settlement.remaining(reservation)))
    await settlement.close()
    return results


@service.command(m.ReleaseReservation, together=True)
async def release_reservation(
    work: UnitOfWork, commands: Sequence[m.ReleaseReservation]
) -> list[m.Left | Rejected]:
    """Release the reserved units of each command."""
    settlement = await ReservationSettlement.open(work, [command.reservation_id for command in commands])
    results: list[m.Left | Rejected] = []
    for command in commands:
        reservation = settlement.find_open(command.reservation_id)
        if isinstance(reservation, Rejected):
            # The units of an expired reservation have been released, as if by an earlier command.
            expired = reservation.error.code == "reservation_expired"
            results.append(_closed() if expired else reservation)
            continue
        await settlement.commit(reservation, 0, command.command_id)
        results.append(m.Left(remaining=settlement.remaining(reservation)))
    await settlement.close()
    return results


@service.job("expire_reservations")
async def expire_reservations(transactions: Transactions, at: datetime) -> None:
    """Release every reservation that has expired."""
    cause = tick_cause("consumables", "expire_reservations", at)
    while True:
        async with transactions.begin(caused_by=cause, now=at) as work:
            cursor = await work.driver.execute(SELECT_DUE, (at, EXPIRY_BATCH_SIZE))
            found = await cursor.fetchall()
            keys = [(part["account"], feature) for drawn, feature in found for part in drawn]
            # Loading balances releases their overdue reservations.
            batch = await load(work, named=keys)
            await write_and_recharge(work, batch)
        if len(found) < EXPIRY_BATCH_SIZE or not batch.overdue:
            return


class ReservationSettlement:
    """Commits and releases reservations in one transaction, with their rows and balances locked."""

    def __init__(self, work: UnitOfWork, batch: LedgerBatch, found: dict[str, Reservation]) -> None:
        self._work, self._batch, self._found = work, batch, found
        self._closed: dict[str, dict[str, Any]] = {}
        """The new column values by reservation id."""

    @classmethod
    async def open(cls, work: UnitOfWork, reservation_ids: Sequence[str]) -> "ReservationSettlement":
        """Lock the balances of reservations, then the reservations themselves."""
        rows = await (await work.driver.execute(SELECT, (list(reservation_ids),))).fetchall()
        found = [Reservation(*row) for row in rows]
        parts = [(reservation.feature, part) for reservation in found for part in reservation.drawn]
        batch = await load(
            work,
            [
                DrawRequest(reservation.consumer, reservation.feature, reservation.account)
                for reservation in found
            ],
            named=[(part["account"], feature) for feature, part in parts],
            grant_ids=[part["grant_id"] for _, part in parts],
        )
        # Read again, as no other transaction can settle them from here on.
        rows = await (await work.driver.execute(LOCK, (list(reservation_ids),))).fetchall()
        return cls(work, batch, {row[0]: Reservation(*row) for row in rows})

    def find_open(self, reservation_id: str) -> Reservation | Rejected:
        """Return an open reservation, or the rejection if it is unknown, expired or closed."""
        found = self._found.get(reservation_id)
        if found is None:
            return Rejected("not_found", "There is no such reservation.", {"reservation_id": reservation_id})
        if found.status == "expired" or reservation_id in self._batch.overdue:
            return _expired()
        if found.status != "open" or reservation_id in self._closed:
            return _closed()
        return _expired() if found.expires_at <= self._work.now else found

    async def commit(
        self, reservation: Reservation, quantity: int, command_id: str, *, partial: bool = False
    ) -> int | Rejected:
        """Consume `quantity` units; return how many, or the rejection, after which all is as it was.

        What is not reserved is drawn from what is free: all of it or, with `partial`, as much as there is.
        """
        cause = Cause(command_id, reservation.consumer, reservation.reservation_id, reservation.metadata)
        reserved = min(quantity, reservation.quantity)
        more = await self._draw_more(reservation, quantity - reserved, cause, partial=partial)
        if isinstance(more, Rejected):
            return more
        used = self._use_reserved(reservation, reserved, cause)
        for part in more:
            of_grant = next((one for one in used if one["grant_id"] == part["grant_id"]), None)
            if of_grant is None:
                used.append(part)
            else:
                of_grant["quantity"] += part["quantity"]
        status = "committed" if used else "released"
        self._closed[reservation.reservation_id] = {"status": status, "used": used or None}
        return sum(int(part["quantity"]) for part in used)

    async def _draw_more(
        self, reservation: Reservation, quantity: int, cause: Cause, *, partial: bool
    ) -> list[dict[str, Any]] | Rejected:
        """Draw units that are not reserved, beyond the included ones if they may be owed."""
        reach = self._batch.reach.get(reservation.draw_request)
        if quantity == 0 or (partial and reach is None):
            return []
        if reach is not None and reach.is_suspended:
            return [] if partial else account_suspended(reservation.feature)
        balances, grants = (reach.balances, reach.grants) if reach is not None else ((), ())
        drawn = draw(balances, grants, quantity, "consumed", cause, partial=partial)
        if reach is not None and (isinstance(drawn, Insufficient) or drawn.quantity < quantity):
            beyond = await load_beyond(self._work, self._batch, [reach])
            drawn = await beyond.complete(drawn, reach, quantity, "consumed", cause, partial=partial)
        if isinstance(drawn, Insufficient):
            return [] if partial else insufficient(reservation.quantity + drawn.available)
        return drawn_parts(drawn.parts)

    def _use_reserved(self, reservation: Reservation, quantity: int, cause: Cause) -> list[dict[str, Any]]:
        """Consume reserved units, beginning with the first grant, and release the rest."""
        used = []
        for part in reservation.drawn:
            grant = self._batch.grants[part["grant_id"]]
            taken = min(quantity, part["quantity"])
            if taken:
                move(grant, "committed", taken, cause)
                used.append({**part, "quantity": taken})
            if part["quantity"] > taken:
                give_back(grant, "released", part["quantity"] - taken, cause)
            quantity -= taken
        return used

    def remaining(self, reservation: Reservation) -> int | None:
        """Return how many units the consumer may draw now; None: unlimited."""
        reach = self._batch.reach.get(reservation.draw_request)
        balances: Sequence[Balance] = reach.balances if reach is not None else ()
        return available(balances)

    async def close(self) -> None:
        """Write the changed balances and reservations."""
        await write_and_recharge(self._work, self._batch)
        rows = [{"reservation_id": key, **closed} for key, closed in self._closed.items()]
        if rows:
            await self._work.driver.execute(CLOSE, (self._work.now, orjson.dumps(rows).decode()))


def _cause(command: m.Reserve, reservation_id: str) -> Cause:
    return Cause(command.command_id, command.consumer.token, reservation_id, command.metadata)


def _expired() -> Rejected:
    return Rejected("reservation_expired", "Its time is over; what it held was given back.")


def _closed() -> Rejected:
    return Rejected("reservation_closed", "It was committed or released before.")
