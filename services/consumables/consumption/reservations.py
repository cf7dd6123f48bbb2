"""Units set aside for a while, then used or given back; by themselves when their time is over."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import orjson

from services.consumables.consumption.consume import decide, draw_request, drawn, drawn_for, reading
from services.consumables.domain.balance import Balance, Cause, available, give_back, move
from services.consumables.ledger.rejections import refuse_unreached
from services.consumables.ledger.repository import DrawRequest, LedgerBatch, load
from services.consumables.recharges.low_balances import write_and_recharge
from services.consumables.service import service
from shared.errors import Rejected
from shared.ids import new_id
from shared.messaging.service import tick_cause
from shared.persistence.unit_of_work import Transactions, UnitOfWork
from tallystick.messages import consumables as m

EXPIRED_AT_ONCE = 100
"""Reservations given back in one transaction: as many as whoever loads their balances looks at."""
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
    """A reservation as it is stored."""

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
        """How many units are set aside."""
        return sum(part["quantity"] for part in self.drawn)


@service.command(m.Reserve, together=True, owner=drawn_for, reads=reading)
async def reserve(work: UnitOfWork, commands: Sequence[m.Reserve]) -> list[bytes | Rejected]:
    """Set units aside for each command; results are written as JSON."""
    batch = await load(work, [draw_request(command) for command in commands])
    refused = await refuse_unreached(work, batch, [draw_request(command) for command in commands])
    results: list[bytes | Rejected] = []
    rows = []
    for command in commands:
        reservation_id = new_id("reservation")
        cause = Cause(command.command_id, command.consumer.token, reservation_id, command.metadata)
        decision = decide(batch, command, "reserved", cause)
        if decision is None:
            results.append(refused[draw_request(command)])
            continue
        if isinstance(decision, Rejected):
            results.append(decision)
            continue
        rows.append(
            {
                "reservation_id": reservation_id,
                "consumer": command.consumer.token,
                "feature": command.feature,
                "account": command.account,
                "drawn": drawn(decision.parts),
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
    """Use what was set aside, or less and give the rest back."""
    desk = await _Desk.open(work, [command.reservation_id for command in commands])
    results: list[m.Settled | Rejected] = []
    for command in commands:
        reservation = desk.open_one(command.reservation_id)
        if isinstance(reservation, Rejected):
            results.append(reservation)
            continue
        quantity = command.quantity if command.quantity is not None else reservation.quantity
        if quantity > reservation.quantity:
            results.append(_more_than_reserved(reservation.quantity))
            continue
        desk.settle(reservation, quantity, command.command_id)
        results.append(m.Settled(consumed=quantity, remaining=desk.remaining(reservation)))
    await desk.close()
    return results


@service.command(m.ReleaseReservation, together=True)
async def release_reservation(
    work: UnitOfWork, commands: Sequence[m.ReleaseReservation]
) -> list[m.Left | Rejected]:
    """Give back what was set aside."""
    desk = await _Desk.open(work, [command.reservation_id for command in commands])
    results: list[m.Left | Rejected] = []
    for command in commands:
        reservation = desk.open_one(command.reservation_id)
        if isinstance(reservation, Rejected):
            # Whoever gives back what has expired has what they want.
            closed = _closed() if reservation.error.code == "reservation_expired" else reservation
            results.append(closed)
            continue
        desk.settle(reservation, 0, command.command_id)
        results.append(m.Left(remaining=desk.remaining(reservation)))
    await desk.close()
    return results


@service.job("expire_reservations")
async def expire_reservations(transactions: Transactions, at: datetime) -> None:
    """Give back every reservation whose time is over by then."""
    cause = tick_cause("consumables", "expire_reservations", at)
    while True:
        async with transactions.begin(caused_by=cause, now=at) as work:
            cursor = await work.driver.execute(SELECT_DUE, (at, EXPIRED_AT_ONCE))
            found = await cursor.fetchall()
            keys = [(part["account"], feature) for drawn, feature in found for part in drawn]
            # Whatever is overdue is given back by whoever loads its balances.
            batch = await load(work, named=keys)
            await write_and_recharge(work, batch)
        if len(found) < EXPIRED_AT_ONCE or not batch.overdue:
            return


class _Desk:
    """Reservations and the balances they hold units of, locked: the balances first, as everywhere."""

    def __init__(self, work: UnitOfWork, batch: LedgerBatch, found: dict[str, Reservation]) -> None:
        self._work, self._batch, self._found = work, batch, found
        self._closed: dict[str, dict[str, Any]] = {}

    @classmethod
    async def open(cls, work: UnitOfWork, reservation_ids: Sequence[str]) -> "_Desk":
        rows = await (await work.driver.execute(SELECT, (list(reservation_ids),))).fetchall()
        found = [Reservation(*row) for row in rows]
        parts = [(one.feature, part) for one in found for part in one.drawn]
        batch = await load(
            work,
            [DrawRequest(one.consumer, one.feature, one.account) for one in found],
            named=[(part["account"], feature) for feature, part in parts],
            grant_ids=[part["grant_id"] for _, part in parts],
        )
        # Read again, now that nobody else can settle them.
        rows = await (await work.driver.execute(LOCK, (list(reservation_ids),))).fetchall()
        return cls(work, batch, {row[0]: Reservation(*row) for row in rows})

    def open_one(self, reservation_id: str) -> Reservation | Rejected:
        """A reservation whose units can still be used."""
        found = self._found.get(reservation_id)
        if found is None:
            return Rejected("not_found", "There is no such reservation.", {"reservation_id": reservation_id})
        if found.status == "expired" or reservation_id in self._batch.overdue:
            return _expired()
        if found.status != "open" or reservation_id in self._closed:
            return _closed()
        return _expired() if found.expires_at <= self._work.now else found

    def settle(self, reservation: Reservation, quantity: int, command_id: str) -> None:
        """Use so many of the units, from the first on, and give the rest back."""
        cause = Cause(command_id, reservation.consumer, reservation.reservation_id, reservation.metadata)
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
        status = "committed" if used else "released"
        self._closed[reservation.reservation_id] = {"status": status, "used": used or None}

    def remaining(self, reservation: Reservation) -> int | None:
        """What its consumer may draw now."""
        reach = self._batch.reach.get(
            DrawRequest(reservation.consumer, reservation.feature, reservation.account)
        )
        balances: Sequence[Balance] = reach.balances if reach is not None else ()
        return available(balances)

    async def close(self) -> None:
        """Write all of it."""
        await write_and_recharge(self._work, self._batch)
        rows = [{"reservation_id": key, **closed} for key, closed in self._closed.items()]
        if rows:
            await self._work.driver.execute(CLOSE, (self._work.now, orjson.dumps(rows).decode()))


def _expired() -> Rejected:
    return Rejected("reservation_expired", "Its time is over; what it held was given back.")


def _closed() -> Rejected:
    return Rejected("reservation_closed", "It was committed or released before.")


def _more_than_reserved(reserved: int) -> Rejected:
    return Rejected("insufficient_balance", f"Only {reserved} are reserved.", {"available": reserved})
