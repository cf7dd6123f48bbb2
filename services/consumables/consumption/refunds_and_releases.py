"""Releases of limits and refunds of consumptions, which give used units back."""

from datetime import datetime
from typing import Any, NamedTuple

from services.consumables.domain.balance import Balance, Cause, Grant, available, give_back
from services.consumables.ledger.rejections import explain_unreached
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
REOPEN_OVERAGE = "UPDATE consumables.overages SET closed_at = NULL WHERE grant_id = %s"
TAKE_OFF_USAGE = """
    UPDATE consumables.usage_days
    SET quantity = greatest(0, quantity - %s), overage = greatest(0, overage - %s)
    WHERE customer = %s AND feature = %s AND consumer = %s AND account = %s
      AND day = date_trunc('day', %s AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
"""


class Consumption(NamedTuple):
    """A consumption to be refunded: its consumer, time and grants."""

    consumer: str
    feature: str
    account: str | None
    drawn: list[dict[str, Any]]
    metadata: dict[str, str] | None
    used_at: datetime


@service.command(m.Release)
async def release(work: UnitOfWork, command: m.Release) -> m.Left:
    """Release units of a limit, which first reduces the excess above a lowered ceiling.

    Raises Rejected `nothing_to_release`, `no_account` or `unknown_feature`.
    """
    request = DrawRequest(command.consumer.token, command.feature, command.account)
    batch = await load(work, [request], in_use=True)
    rejections = await explain_unreached(work, batch, [request])
    if rejections and rejections[request].error.code != "insufficient_balance":
        raise rejections[request]
    balances = [balance for balance in _reachable_balances(batch, request) if balance.kind == "limit"]
    grants = [grant for balance in balances for grant in balance.grants if grant.consumed > 0]
    in_use = sum(grant.consumed for grant in grants)
    if in_use < command.quantity:
        raise Rejected("nothing_to_release", f"Only {in_use} are in use.", {"in_use": in_use})
    left = command.quantity
    for grant in sorted(grants, key=_release_order, reverse=True):
        part = min(left, grant.consumed)
        if part:
            give_back(grant, "freed", part, Cause(command.command_id, request.consumer))
            left -= part
    await write_and_recharge(work, batch)
    return m.Left(remaining=available(balances))


@service.command(m.RefundConsumption)
async def refund_consumption(work: UnitOfWork, command: m.RefundConsumption) -> m.Refunded:
    """Give the units of a consumption back to the grants they were drawn from, the last one first.

    Raises Rejected `not_found` or `already_refunded`.
    """
    consumption = await _find_consumption(work, command.consumption_id)
    request = DrawRequest(consumption.consumer, consumption.feature, consumption.account)
    batch = await load(
        work,
        [request],
        named=[(part["account"], consumption.feature) for part in consumption.drawn],
        grant_ids=[part["grant_id"] for part in consumption.drawn],
    )
    # Read after the balances are locked, so that no other transaction refunds the same units.
    row = await (await work.driver.execute(FIND_REFUNDED, (command.consumption_id,))).fetchone()
    refunded = row[0] if row is not None else 0
    parts = _refundable_parts(batch, consumption, refunded)
    refundable = sum(left for _, left in parts)
    quantity = command.quantity if command.quantity is not None else refundable
    if quantity > refundable or refundable == 0:
        message = f"Only {refundable} of it are not refunded yet."
        raise Rejected("already_refunded", message, {"refundable": refundable})
    cause = Cause(command.command_id, consumption.consumer, None, consumption.metadata)
    back, lapsed = quantity, 0
    for grant, left in parts:
        if part := min(back, left):
            lapsed += give_back(grant, "refunded", part, cause)
            await _take_off_usage(work, grant, consumption, part)
            if grant.is_overage:
                # It may have been charged, and is set off against the next charge then.
                await work.driver.execute(REOPEN_OVERAGE, (grant.grant_id,))
            back -= part
    await write_and_recharge(work, batch)
    await work.driver.execute(ADD_REFUNDED, (command.consumption_id, quantity))
    reach = batch.reach.get(request)
    return m.Refunded(
        refunded=quantity - lapsed,
        lapsed=lapsed,
        remaining=available(reach.balances if reach is not None else ()),
    )


def _release_order(grant: Grant) -> tuple[bool, Any]:
    """Return the sort key of releasing, in descending order: the grant that was drawn last comes first.

    Ended grants come before all others if there is an excess to reduce, and after them otherwise.
    """
    return grant.has_ended == (grant.balance.excess > 0), grant.order


def _reachable_balances(batch: LedgerBatch, request: DrawRequest) -> list[Balance]:
    # Units of a suspended account may still be released.
    reach = batch.reach.get(request)
    return list(reach.all_balances) if reach is not None else []


def _refundable_parts(batch: LedgerBatch, consumption: Consumption, refunded: int) -> list[tuple[Grant, int]]:
    """Return the refundable units of each grant, the last one first, without units released since."""
    parts = []
    for part in reversed(consumption.drawn):
        before = min(refunded, part["quantity"])
        refunded -= before
        grant = batch.grants[part["grant_id"]]
        parts.append((grant, min(part["quantity"] - before, grant.consumed)))
    return parts


async def _take_off_usage(work: UnitOfWork, grant: Grant, consumption: Consumption, quantity: int) -> None:
    balance = grant.balance
    values = (
        quantity,
        quantity if grant.is_overage else 0,
        balance.customer,
        balance.feature,
        consumption.consumer,
        balance.account,
        consumption.used_at,
    )
    await work.driver.execute(TAKE_OFF_USAGE, values)


async def _find_consumption(work: UnitOfWork, consumption_id: str) -> Consumption:
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
    if body.get("occurred_at") is not None:
        at = datetime.fromisoformat(body["occurred_at"])
    return Consumption(consumer, body["feature"], body.get("account"), drawn, body.get("metadata"), at)
