"""Consumption of units: commands are decided in order of arrival on balances that are loaded once for all."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from services.consumables.domain.balance import Cause, Drawn, Insufficient, Part, draw
from services.consumables.domain.late_usage import problem_of
from services.consumables.domain.overage import units_beyond
from services.consumables.ledger.rejections import explain_unreached
from services.consumables.ledger.repository import DrawRequest, LedgerBatch, load, load_statements
from services.consumables.overage.beyond import load_beyond
from services.consumables.policy import policy
from services.consumables.recharges.low_balances import write_and_recharge
from services.consumables.service import service
from shared.errors import Rejected, invalid_message
from shared.persistence.sql_pipeline import BoundStatement
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import consumables as m

Decision = Drawn | Rejected


def unit_owner(request: m.UnitsRequest) -> str:
    """Return whose units a command draws, for fair queueing when not all waiting commands fit in a commit."""
    return request.account or request.consumer.token


def draw_request(request: m.UnitsRequest) -> DrawRequest:
    """Return the key under which the balances of a command are loaded."""
    return DrawRequest(request.consumer.token, request.feature, request.account)


def preload_statements(requests: Sequence[m.UnitsRequest]) -> Sequence[BoundStatement]:
    """Return the statements that load the balances of commands, to run with the first query of a commit."""
    return load_statements(draw_request(request) for request in requests)


@service.command(m.Consume, together=True, owner=unit_owner, reads=preload_statements)
async def consume(work: UnitOfWork, commands: Sequence[m.Consume]) -> list[bytes | Rejected]:
    """Consume units for each command; results are encoded as JSON."""
    requests = [draw_request(command) for command in commands]
    batch = await load(work, requests)
    decisions = await decide_all(work, batch, commands, "consumed", [_cause(command) for command in commands])
    rejections = await explain_unreached(work, batch, requests) if None in decisions else {}
    await write_and_recharge(work, batch)
    return [
        _result(decision) if decision is not None else rejections[request]
        for request, decision in zip(requests, decisions, strict=True)
    ]


async def decide_all(
    work: UnitOfWork,
    batch: LedgerBatch,
    commands: Sequence[m.Consume] | Sequence[m.Reserve],
    kind: m.EntryKind,
    causes: Sequence[Cause],
) -> list[Decision | None]:
    """Decide commands in their order; then those that found too few units may use more and owe them."""
    found = [
        _reject_time(command, work.now) or decide(batch, command, kind, cause)
        for command, cause in zip(commands, causes, strict=True)
    ]
    short = [
        (number, decision, batch.reach[draw_request(commands[number])])
        for number, decision in enumerate(found)
        if isinstance(decision, Drawn | Insufficient) and _is_short(decision, commands[number])
    ]
    if short:
        beyond = await load_beyond(work, batch, [reach for _, _, reach in short])
        for number, decision, reach in short:
            command = commands[number]
            found[number] = await beyond.complete(
                decision, reach, command.quantity, kind, causes[number], partial=command.partial
            )
    return [
        insufficient(decision.available) if isinstance(decision, Insufficient) else decision
        for decision in found
    ]


def decide(
    batch: LedgerBatch, request: m.UnitsRequest, kind: m.EntryKind, cause: Cause
) -> Drawn | Insufficient | Rejected | None:
    """Decide one command against the loaded balances and apply it in memory.

    Return None if the command reaches no balance; `explain_unreached` finds the reason.
    """
    reach = batch.reach.get(draw_request(request))
    if reach is None:
        return None
    if reach.is_suspended:
        return account_suspended(request.feature)
    return draw(reach.balances, reach.grants, request.quantity, kind, cause, partial=request.partial)


def _is_short(decision: Drawn | Insufficient, request: m.UnitsRequest) -> bool:
    return isinstance(decision, Insufficient) or decision.quantity < request.quantity


def insufficient(available: int) -> Rejected:
    """Return the rejection of a request for more units than are available."""
    return Rejected("insufficient_balance", f"Only {available} may still be drawn.", {"available": available})


def account_suspended(feature: str) -> Rejected:
    """Return the rejection of a request whose accounts are all suspended."""
    return Rejected(
        "account_suspended",
        "What this consumer could draw on is suspended until what is owed is paid.",
        {"feature": feature},
    )


def drawn_parts(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """Return drawn units in the form of results and of the reservations table."""
    return [
        {
            "account": part.grant.balance.account,
            "grant_id": part.grant.grant_id,
            "quantity": part.quantity,
        }
        for part in parts
    ]


def _reject_time(command: m.UnitsRequest, now: datetime) -> Rejected | None:
    if not isinstance(command, m.Consume) or command.occurred_at is None:
        return None
    problem = problem_of(command.occurred_at, now, policy.late_usage_days)
    return invalid_message([{"field": "occurred_at", "problem": problem}]) if problem else None


def _cause(command: m.Consume) -> Cause:
    return Cause(command.command_id, command.consumer.token, None, command.metadata, command.occurred_at)


def _result(decision: Decision) -> bytes | Rejected:
    if isinstance(decision, Rejected):
        return decision
    result = {
        "consumed": decision.quantity,
        "remaining": decision.remaining,
        "drawn": drawn_parts(decision.parts),
    }
    # Nothing is owed as long as units remain.
    if decision.remaining == 0 and (beyond := units_beyond(decision.parts)):
        result["overage"] = beyond
    return orjson.dumps(result)
