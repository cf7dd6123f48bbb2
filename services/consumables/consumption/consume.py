"""Using units: each command decided in the order of arrival, on balances that are loaded once for all."""

from collections.abc import Sequence
from typing import Any

import orjson

from services.consumables.domain.balance import Cause, Drawn, Insufficient, Part, draw
from services.consumables.ledger.rejections import refuse_unreached
from services.consumables.ledger.repository import DrawRequest, LedgerBatch, load, loading
from services.consumables.recharges.low_balances import write_and_recharge
from services.consumables.service import service
from shared.errors import Rejected
from shared.persistence.sql_pipeline import BoundStatement
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import consumables as m

Decision = Drawn | Rejected


def drawn_for(request: m.UnitsRequest) -> str:
    """Whose units a command draws, for taking turns where more commands wait than fit into one commit."""
    return request.account or request.consumer.token


def draw_request(request: m.UnitsRequest) -> DrawRequest:
    """Who wants units of what, and from where."""
    return DrawRequest(request.consumer.token, request.feature, request.account)


def reading(requests: Sequence[m.UnitsRequest]) -> Sequence[BoundStatement]:
    """What is read first for those who want units."""
    return loading(draw_request(request) for request in requests)


@service.command(m.Consume, together=True, owner=drawn_for, reads=reading)
async def consume(work: UnitOfWork, commands: Sequence[m.Consume]) -> list[bytes | Rejected]:
    """Use units for each command; results are written as JSON."""
    batch = await load(work, [draw_request(command) for command in commands])
    decided = [decide(batch, command, "consumed", _cause(command)) for command in commands]
    refused = await refuse_unreached(work, batch, [draw_request(command) for command in commands])
    await write_and_recharge(work, batch)
    return [
        _result(decision) if decision is not None else refused[draw_request(command)]
        for command, decision in zip(commands, decided, strict=True)
    ]


def decide(
    batch: LedgerBatch, request: m.UnitsRequest, kind: m.EntryKind, cause: Cause
) -> Drawn | Rejected | None:
    """What becomes of one wish, whose effect is in memory from then on.

    None: the consumer can reach no such units, for a reason that has to be looked up.
    """
    reach = batch.reach.get(draw_request(request))
    if reach is None:
        return None
    if reach.is_suspended:
        return account_suspended(request)
    taken = draw(reach.balances, reach.grants, request.quantity, kind, cause, partial=request.partial)
    if isinstance(taken, Insufficient):
        return insufficient(taken.available)
    return taken


def insufficient(available: int) -> Rejected:
    """The refusal of more units than there are."""
    return Rejected("insufficient_balance", f"Only {available} may still be drawn.", {"available": available})


def account_suspended(request: m.UnitsRequest) -> Rejected:
    """The refusal to draw on what is suspended."""
    return Rejected(
        "account_suspended",
        "What this consumer could draw on is suspended until what is owed is paid.",
        {"feature": request.feature},
    )


def drawn(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """Units taken, as results and reservations say it."""
    return [
        {
            "account": part.grant.balance.account,
            "grant_id": part.grant.grant_id,
            "quantity": part.quantity,
        }
        for part in parts
    ]


def _cause(command: m.Consume) -> Cause:
    return Cause(command.command_id, command.consumer.token, None, command.metadata)


def _result(decision: Decision) -> bytes | Rejected:
    if isinstance(decision, Rejected):
        return decision
    result = {"consumed": decision.quantity, "remaining": decision.remaining, "drawn": drawn(decision.parts)}
    return orjson.dumps(result)
