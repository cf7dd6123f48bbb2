"""How Postgres goes about the statements on every command's way, on tables nobody has ever counted.

A statement is planned once and kept: a plan made for a month's new partition, empty then, is still the plan
when a million rows are in it.
"""

import re

import pytest

from services.consumables import loading, writing
from services.seats import store
from shared import inbox
from shared.database import make_engine
from tests.support.runtime import role_url

ON_THE_WAY = {
    "a command": ("consumables", inbox.FIND),
    "many commands": ("consumables", inbox.FIND_MANY),
    "balances": ("consumables", loading.LOCK_BALANCES.text),
    "their grants": ("consumables", loading.GRANTS.text),
    "grants by name": ("consumables", loading.THESE_GRANTS.text),
    "what changed": ("consumables", writing.WRITE.text),
    "who has a seat": ("seats", store.TAKEN.text),
}


@pytest.mark.parametrize("what", ON_THE_WAY)
async def test_rows_are_looked_up_one_by_one(service_database: str, what: str) -> None:
    schema, text = ON_THE_WAY[what]
    statement = text.replace("{schema}", schema)
    engine = make_engine(role_url(service_database, schema), "test")
    try:
        async with engine.connect() as connection:
            rows = await connection.exec_driver_sql("EXPLAIN (GENERIC_PLAN) " + statement)
            plan = "\n".join(row[0] for row in rows)
    finally:
        await engine.dispose()
    # Whoever joins by hashing or merging reads the whole of a table, by an index or without.
    assert "Index Cond" in plan, plan
    assert not re.search(r"Seq Scan|Hash Join|Merge Join", plan), plan
