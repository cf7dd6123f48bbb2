"""The invariants of consumables on correct and on corrupted data."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import nats
import psycopg
import pytest
from psycopg.rows import dict_row

from services.consumables.invariants import INVARIANTS, BalancesBucketMatchesTables, QueryInvariant
from shared.operations import audit_helpers
from shared.operations.audit import LiveSystem
from shared.operations.row_versions import RowsMatchLastEvents
from tallystick.messages import consumables as m
from tallystick.subjects import BALANCES_BUCKET, Subjects, kv_subject
from tests.support.runtime import Bound
from tests.support.servers import NatsServer
from tests.support.worlds.recharges import ACCOUNT, FEATURE, RechargeWorld, recharge_world
from tests.support.worlds.subscriptions import ACME, World

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
async def world(
    bind: Callable[..., Bound], shop: World, nats_session: NatsServer
) -> AsyncIterator[RechargeWorld]:
    """Units that were granted, used, reserved, refunded and bought."""
    async with recharge_world(bind, shop, nats_session) as world:
        await world.with_card()
        await world.has(100)
        await world.set_rule()
        used = world.wants(60)
        await world.does(used)
        await world.does(
            m.RefundConsumption(command_id=world.command_id(), consumption_id=used.command_id, quantity=5)
        )
        await world.does(
            m.Reserve(
                command_id=world.command_id(), consumer=ACME, feature=FEATURE, quantity=30, ttl_seconds=60
            )
        )
        assert await world.charges() == 1
        yield world


@pytest.fixture
async def live(world: RechargeWorld, nats_session: NatsServer) -> AsyncIterator[LiveSystem]:
    database = await psycopg.AsyncConnection.connect(
        world.bound.owner_url, autocommit=True, row_factory=dict_row
    )
    connection = await nats.connect(nats_session.url)
    yield LiveSystem(database, connection, Subjects())
    await connection.close()
    await database.close()


async def found(live: LiveSystem) -> dict[str, int]:
    """Return the number of violations of each invariant that only needs the tables."""
    return {
        one.name: len(violations)
        for one in INVARIANTS
        if isinstance(one, QueryInvariant | RowsMatchLastEvents)
        and (violations := await one.violations(live))
    }


async def test_all_units_are_accounted_for(world: RechargeWorld, live: LiveSystem) -> None:
    # 100 − 60 + 5 − 30 = 15 is below 20: 50 were bought.
    assert await world.remaining() == 65
    assert await found(live) == {}


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        (
            "UPDATE consumables.balances SET consumed = consumed + 1, remaining = remaining - 1",
            {"balances are what the ledger adds up to", "balances are the sums of their grants"},
        ),
        (
            "UPDATE consumables.reservations SET status = 'expired'",
            {"what is reserved is held by open reservations"},
        ),
        (
            "UPDATE consumables.recharges SET status = 'failed'",
            {"recharges bring units when they are paid, and only then"},
        ),
        (
            "UPDATE consumables.balances SET version = version + 1",
            {"rows are at the version that was told last"},
        ),
        (
            """UPDATE consumables.grants SET reserved = reserved - 1, consumed = consumed + 1
               WHERE reserved > 0;
               UPDATE consumables.grants SET reserved = reserved + 1, remaining = remaining - 1
               WHERE source ->> 'kind' = 'recharge';
               UPDATE consumables.grants SET consumed = consumed - 1, remaining = remaining + 1
               WHERE consumed > 0""",
            {"what is reserved is held by open reservations"},
        ),
        (
            "UPDATE consumables.recharges SET recharge_id = 'recharge_other'",
            {
                "recharges bring units when they are paid, and only then",
                "rows are at the version that was told last",
            },
        ),
        (
            "DELETE FROM consumables.recharges",
            {
                "recharges bring units when they are paid, and only then",
                "rows are at the version that was told last",
            },
        ),
        (
            "DELETE FROM consumables.balances",
            {
                "balances are what the ledger adds up to",
                "balances are the sums of their grants",
                "rows are at the version that was told last",
            },
        ),
        (
            "DELETE FROM consumables.grants",
            {
                "balances are the sums of their grants",
                "what is reserved is held by open reservations",
                "recharges bring units when they are paid, and only then",
                "the totals of features are the sums of their balances and grants",
            },
        ),
    ],
)
async def test_what_does_not_add_up_is_found(
    world: RechargeWorld, live: LiveSystem, statement: str, broken: set[str]
) -> None:
    for part in statement.split(";"):
        await live.database.execute(part.encode())
    assert (await found(live)).keys() == broken


async def test_a_bucket_that_differs_is_found(
    world: RechargeWorld, live: LiveSystem, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is wrong here stays wrong: one second look is enough.
    monkeypatch.setattr(audit_helpers, "PENDING_MAX_SECONDS", audit_helpers.RETRY_SECONDS)
    invariant = BalancesBucketMatchesTables()
    bucket = await live.nats.jetstream().create_key_value(bucket=BALANCES_BUCKET)
    key = f"customer_organization_acme.{FEATURE}"
    put = (await world.bound.outbox(f"KV_{BALANCES_BUCKET}"))[-1]
    assert put["subject"] == kv_subject(BALANCES_BUCKET, key)
    assert len(await invariant.violations(live)) == 1, "the key is missing"
    await bucket.put(key, put["payload"])
    assert await invariant.violations(live) == []
    await bucket.put("team_team_1.hours", put["payload"])
    assert len(await invariant.violations(live)) == 1, "a key is there that stands for nothing"
    await bucket.delete("team_team_1.hours")
    assert await invariant.violations(live) == []
    for wrong in (put["payload"].replace(b":65,", b":64,"), b"nothing that reads"):
        await bucket.put(key, wrong)
        assert len(await invariant.violations(live)) == 1, wrong


async def test_units_still_add_up_when_the_old_ledger_is_gone(world: RechargeWorld, live: LiveSystem) -> None:
    opened = await live.rows("consumables", "SELECT min(generation) AS day FROM {schema}.partitions")
    first = opened[0]["day"]

    async def tend(days: int) -> list[str]:
        done: list[str] = []
        while True:
            (row,) = await live.rows(
                "consumables", "SELECT {schema}.tend_partitions_on(%s) AS done", first + timedelta(days=days)
            )
            if row["done"] is None:
                return done
            done.append(row["done"])

    await tend(30)
    await world.uses(1)
    assert f"dropped consumables.entries_{first:%Y%m%d}" not in await tend(429)
    assert f"dropped consumables.entries_{first:%Y%m%d}" in await tend(430)
    (kept,) = await live.rows("consumables", "SELECT count(*) AS entries FROM {schema}.entries")
    assert kept["entries"] == 1
    assert await found(live) == {}


async def test_the_ledger_cannot_be_changed_by_its_service(world: RechargeWorld) -> None:
    async with world.bound.engine.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        for statement in ("UPDATE consumables.entries SET quantity = 1", "DELETE FROM consumables.entries"):
            with pytest.raises(psycopg.Error, match=r"the ledger only grows|permission denied"):
                await driver.execute(statement)
            await driver.rollback()
    balance = await world.does(m.ListRecharges(account=ACCOUNT))
    assert len(balance["items"]) == 1
