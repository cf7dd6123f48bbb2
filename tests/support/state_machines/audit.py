"""The invariants of consumables, checked after a state machine has run."""

from typing import Any

import psycopg
from psycopg.rows import dict_row

from services.consumables.invariants import INVARIANTS, QueryInvariant
from shared.operations.audit import LiveSystem, VersionsHaveNoGaps
from tallystick.subjects import Subjects


async def audited(database: str) -> list[str]:
    """Return the violations that the audit finds in the tables."""
    connection = await psycopg.AsyncConnection.connect(database, autocommit=True, row_factory=dict_row)
    nobody: Any = None
    live = LiveSystem(connection, nobody, Subjects())
    checked = [one for one in INVARIANTS if isinstance(one, QueryInvariant)]
    assert checked
    found = [wrong for one in checked for wrong in await one.violations(live)]
    found += await VersionsHaveNoGaps("consumables").violations(live)
    await connection.close()
    return found
