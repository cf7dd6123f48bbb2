"""Using units: each command decided in the order of arrival, on balances that are loaded once for all."""

from collections.abc import Sequence
from typing import Any

import orjson

from services.consumables.domain.balance import Part, Why
from services.consumables.domain.consumption import Drawn, Insufficient, draw
from services.consumables.ledger.rejections import refuse_unreached
from services.consumables.ledger.repository import Loaded, Wanted, load, loading
from services.consumables.ledger.writer import write
from services.consumables.service import service
from shared.errors import Rejected
from shared.persistence.sql_pipeline import Bound
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import consumables as m

Decision = Drawn | Rejected


def drawn_for(request: m.UnitsRequest) -> str:
    """Whose units a command draws, for taking turns where more commands wait than fit into one commit."""
    return request.account or request.consumer.token


def wanted_by(request: m.UnitsRequest) -> Wanted:
    """Who wants units of what, and from where."""
    return Wanted(request.consumer.token, request.feature, request.account)


def reading(requests: Sequence[m.UnitsRequest]) -> Sequence[Bound]:
    """What is read first for those who want units."""
    return loading(wanted_by(request) for request in requests)


@service.command(m.Consume, together=True, owner=drawn_for, reads=reading)
async def consume(work: UnitOfWork, commands: Sequence[m.Consume]) -> list[bytes | Rejected]:
    """Use units for each command; results are written as JSON."""
    loaded = await load(work, [wanted_by(command) for command in commands])
    decided = [decide(loaded, command, "consumed", _why(command)) for command in commands]
    refused = await refuse_unreached(work, loaded, [wanted_by(command) for command in commands])
    await write(work, loaded)
    return [
        _result(decision) if decision is not None else refused[wanted_by(command)]
        for command, decision in zip(commands, decided, strict=True)
    ]


def decide(loaded: Loaded, request: m.UnitsRequest, kind: m.EntryKind, why: Why) -> Drawn | Rejected | None:
    """What becomes of one wish, whose effect is in memory from then on.

    None: the consumer can reach no such units, for a reason that has to be looked up.
    """
    reach = loaded.reach.get(wanted_by(request))
    if reach is None:
        return None
    if reach.is_suspended:
        return account_suspended(request)
    taken = draw(reach.pools, reach.stocks, request.quantity, kind, why, partial=request.partial)
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
            "account": part.stock.pool.account,
            "grant_id": part.stock.grant_id,
            "quantity": part.quantity,
        }
        for part in parts
    ]


def _why(command: m.Consume) -> Why:
    return Why(command.command_id, command.consumer.token, None, command.metadata)


def _result(decision: Decision) -> bytes | Rejected:
    if isinstance(decision, Rejected):
        return decision
    result = {"consumed": decision.quantity, "remaining": decision.remaining, "drawn": drawn(decision.parts)}
    return orjson.dumps(result)
