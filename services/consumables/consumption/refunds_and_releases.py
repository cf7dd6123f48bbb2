"""Units that come back after they were used: limits that are freed, consumptions that are refunded."""

from datetime import datetime
from typing import Any, NamedTuple

from services.consumables.domain.balance import Balance, Cause, Grant, available, give_back
from services.consumables.ledger.rejections import refuse_unreached
from services.consumables.ledger.repository import DrawRequest, LedgerBatch, load
from services.consumables.recharges.low_balances import write_and_recharge
from services.consumables.service import service
from shared.errors import Rejected
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import consumables as m
from tallystick.messages.base import Customer

FIND_CONSUMPTION = """
    SELECT name, body, outcome -> 'result' -> 'drawn', received_at FROM consumables.inbox
    WHERE command_id = %s AND outcome ->> 'status' = 'succeeded'
      AND name IN ('consume', 'commit_reservation')
"""
FIND_RESERVATION = """
    SELECT consumer, feature, account, used, metadata FROM consumables.reservations WHERE reservation_id = %s
"""
FIND_REFUNDED = "SELECT refunded FROM consumables.refunds WHERE consumption_id = %s"
ADD_REFUNDED = """
    INSERT INTO consumables.refunds AS refunds (consumption_id, refunded) VALUES (%s, %s)
    ON CONFLICT (consumption_id) DO UPDATE SET refunded = refunds.refunded + excluded.refunded
"""
TAKE_OFF_USAGE = """
    UPDATE consumables.usage_days SET quantity = greatest(0, quantity - %s)
    WHERE customer = %s AND feature = %s AND consumer = %s AND account = %s
      AND day = date_trunc('day', %s AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
"""


class Consumption(NamedTuple):
    """Units that were used: by whom, when, and from which grants."""

    consumer: str
    feature: str
    account: str | None
    drawn: list[dict[str, Any]]
    metadata: dict[str, str] | None
    used_at: datetime


@service.command(m.Release)
async def release(work: UnitOfWork, command: m.Release) -> m.Left:
    """Free what was occupied of a limit, from what is in use above a lowered ceiling first."""
    wanted = DrawRequest(command.consumer.token, command.feature, command.account)
    batch = await load(work, [wanted], in_use=True)
    refused = await refuse_unreached(work, batch, [wanted])
    if refused and refused[wanted].error.code != "insufficient_balance":
        raise refused[wanted]
    balances = [balance for balance in _all_of(batch, wanted) if balance.kind == "limit"]
    grants = [grant for balance in balances for grant in balance.grants if grant.consumed > 0]
    in_use = sum(grant.consumed for grant in grants)
    if in_use < command.quantity:
        raise Rejected("nothing_to_release", f"Only {in_use} are in use.", {"in_use": in_use})
    left = command.quantity
    for grant in sorted(grants, key=_leaving, reverse=True):
        part = min(left, grant.consumed)
        if part:
            give_back(grant, "freed", part, Cause(command.command_id, wanted.consumer))
            left -= part
    await write_and_recharge(work, batch)
    return m.Left(remaining=available(balances))


@service.command(m.RefundConsumption)
async def refund_consumption(work: UnitOfWork, command: m.RefundConsumption) -> m.Refunded:
    """Give back what a consumption used to the grants it was drawn from, the last first.

    Raises Rejected `not_found`, `already_refunded`.
    """
    consumption = await _consumption(work, command.consumption_id)
    wanted = DrawRequest(consumption.consumer, consumption.feature, consumption.account)
    batch = await load(
        work,
        [wanted],
        named=[(part["account"], consumption.feature) for part in consumption.drawn],
        grant_ids=[part["grant_id"] for part in consumption.drawn],
    )
    # Read once the balances are locked, so that nobody else refunds the same.
    row = await (await work.driver.execute(FIND_REFUNDED, (command.consumption_id,))).fetchone()
    refunded = row[0] if row is not None else 0
    parts = _parts_left(batch, consumption, refunded)
    refundable = sum(left for _, left in parts)
    quantity = command.quantity if command.quantity is not None else refundable
    if quantity > refundable or refundable == 0:
        message = f"Only {refundable} of it are not refunded yet."
        raise Rejected("already_refunded", message, {"refundable": refundable})
    cause = Cause(command.command_id, consumption.consumer, None, consumption.metadata)
    back = quantity
    for grant, left in parts:
        if part := min(back, left):
            give_back(grant, "refunded", part, cause)
            await _take_off_usage(work, grant.balance, consumption, part)
            back -= part
    await write_and_recharge(work, batch)
    await work.driver.execute(ADD_REFUNDED, (command.consumption_id, quantity))
    reach = batch.reach.get(wanted)
    return m.Refunded(refunded=quantity, remaining=available(reach.balances if reach is not None else ()))


def _leaving(grant: Grant) -> tuple[bool, Any]:
    # What was drawn last comes back first; what has ended before anything else where there is excess for it
    # to go into, after everything else where it has room.
    return grant.has_ended == (grant.balance.excess > 0), grant.order


def _all_of(batch: LedgerBatch, wanted: DrawRequest) -> list[Balance]:
    # Who is suspended may still free what they use.
    reach = batch.reach.get(wanted)
    return list(reach.all_balances) if reach is not None else []


def _parts_left(batch: LedgerBatch, consumption: Consumption, refunded: int) -> list[tuple[Grant, int]]:
    """What there is to refund of each grant, the last first; without places that were released since."""
    parts = []
    for part in reversed(consumption.drawn):
        before = min(refunded, part["quantity"])
        refunded -= before
        grant = batch.grants[part["grant_id"]]
        parts.append((grant, min(part["quantity"] - before, grant.consumed)))
    return parts


async def _take_off_usage(
    work: UnitOfWork, balance: Balance, consumption: Consumption, quantity: int
) -> None:
    values = (
        quantity,
        balance.customer,
        balance.feature,
        consumption.consumer,
        balance.account,
        consumption.used_at,
    )
    await work.driver.execute(TAKE_OFF_USAGE, values)


async def _consumption(work: UnitOfWork, consumption_id: str) -> Consumption:
    row = await (await work.driver.execute(FIND_CONSUMPTION, (consumption_id,))).fetchone()
    if row is None:
        raise Rejected(
            "not_found", "There is no such consumption that took effect.", {"consumption_id": consumption_id}
        )
    name, body, drawn, at = row
    if name == "commit_reservation":
        found = await (await work.driver.execute(FIND_RESERVATION, (body["reservation_id"],))).fetchone()
        if found is None:
            raise Rejected("not_found", "Its reservation is gone.", {"consumption_id": consumption_id})
        consumer, feature, account, used, metadata = found
        return Consumption(consumer, feature, account, used or [], metadata, at)
    consumer = Customer.model_validate(body["consumer"]).token
    return Consumption(consumer, body["feature"], body.get("account"), drawn, body.get("metadata"), at)
