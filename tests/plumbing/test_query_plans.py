"""Query plans of the statements of every command, on tables without statistics.

A statement is planned once and kept: a plan made for a month's new partition, empty then, is still the plan
when a million rows are in it.
"""

import re

import pytest

from services.consumables.ledger.grant_totals import SELECT_USED_UP
from services.seats import repository
from shared.persistence import inbox
from shared.persistence.database import make_engine
from tests.support.runtime import role_url

USED_UP = {"keys": "$1", "now": "$2::timestamptz", "counted": "$3::text[]"}
ON_THE_WAY = {
    "a command": ("consumables", inbox.FIND, "command_id"),
    "many commands": ("consumables", inbox.FIND_MANY, "command_id"),
    "who has a seat": ("seats", repository.OCCUPIED_SEATS.text, "email"),
    "what is used up": (
        "consumables",
        re.sub(r"%\((\w+)\)s", lambda name: USED_UP[name[1]], SELECT_USED_UP),
        "account",
    ),
}


@pytest.mark.parametrize("what", ON_THE_WAY)
async def test_rows_are_looked_up_one_by_one(service_database: str, what: str) -> None:
    schema, text, key = ON_THE_WAY[what]
    engine = make_engine(role_url(service_database, schema), "test")
    try:
        async with engine.connect() as connection:
            rows = await connection.exec_driver_sql(
                "EXPLAIN (GENERIC_PLAN) " + text.replace("{schema}", schema)
            )
            plan = "\n".join(row[0] for row in rows)
    finally:
        await engine.dispose()
    assert re.search(rf"Index Cond: .*\b{key} = ", plan), plan
    assert "Seq Scan" not in plan, plan
