"""Retention: partitions are opened, extended and dropped when their rows have been kept long enough."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import orjson
import psycopg
import pytest
from psycopg import errors

from shared.persistence.database import make_engine
from shared.persistence.migrations import service_names
from shared.persistence.partitions import maintain_partitions
from tests.support.runtime import NOON, Bound, role_url
from tests.support.toy import service as toy

INBOX_AND_OUTBOX = ["opened a partition of inbox", "opened a partition of outbox"]


class Calendar:
    """Maintains the toy's partitions on later days, as the owner."""

    def __init__(self, url: str) -> None:
        self.owner = psycopg.connect(url, autocommit=True)
        self.first = self.day(self.owner.execute("SELECT min(generation) FROM toy.partitions").fetchone())

    @staticmethod
    def day(row: object) -> date:
        """The only value of a row."""
        assert isinstance(row, tuple)
        assert isinstance(row[0], date)
        return row[0]

    def tend(self, days: int) -> list[str]:
        """Run the maintenance as of this many days after the first partition was opened."""
        done: list[str] = []
        on = self.first + timedelta(days=days)
        while (row := self.owner.execute("SELECT toy.tend_partitions_on(%s)", (on,)).fetchone()) and row[0]:
            done.append(row[0])
        return done

    def publish_all(self) -> None:
        """Mark all rows of the outbox as published."""
        self.owner.execute("UPDATE toy.relay_position SET published = pg_current_snapshot()")

    def count(self, table: str) -> int:
        """The rows of a table."""
        row = self.owner.execute(f"SELECT count(*) FROM toy.{table}").fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture
def calendar(counters: Bound) -> Iterator[Calendar]:
    """The toy's partitions and days to come."""
    calendar = Calendar(counters.owner_url)
    yield calendar
    calendar.owner.close()


async def test_a_new_partition_is_opened_after_a_month(counters: Bound, calendar: Calendar) -> None:
    assert calendar.tend(days=29) == []
    assert calendar.tend(days=30) == INBOX_AND_OUTBOX
    assert calendar.tend(days=30) == []
    await counters.handle(toy.Increment(command_id="c1", counter="n"))
    rows = await counters.rows("SELECT generation FROM toy.inbox UNION ALL SELECT generation FROM toy.outbox")
    assert {row["generation"] for row in rows} == {calendar.first + timedelta(days=30)}


async def test_a_command_is_known_in_the_month_after(counters: Bound, calendar: Calendar) -> None:
    first = await counters.handle(toy.Increment(command_id="c1", counter="n"))
    calendar.tend(days=30)
    assert await counters.handle(toy.Increment(command_id="c1", counter="n")) == first
    conflict = await counters.handle(toy.Increment(command_id="c1", counter="n", by=2))
    assert conflict.error is not None
    assert conflict.error.code == "idempotency_conflict"
    assert calendar.count("inbox") == 1
    assert await counters.rows("SELECT value FROM toy.counters") == [{"value": 1}]


async def test_a_call_outside_is_finished_in_the_month_after(
    counters: Bound, calendar: Calendar, outside: toy.Outside
) -> None:
    outside.away = True
    await counters.handle(toy.Charge(command_id="c1", counter="n"))
    calendar.tend(days=30)
    outside.away = False
    done = await counters.handle(toy.Charge(command_id="c1", counter="n"))
    assert (done.status, calendar.count("inbox"), outside.charged) == (
        "succeeded",
        1,
        {"toy:c1:charge": 1},
    )


async def test_writers_on_both_sides_of_the_change_are_apart(counters: Bound, calendar: Calendar) -> None:
    add = """INSERT INTO toy.inbox (command_id, name, fingerprint, body, received_at)
             VALUES ('c1', 'increment', '', '{}', now())"""
    with psycopg.connect(counters.owner_url) as writer:
        writer.execute(add)
        # It has not committed, so its command is not visible to others.
        with pytest.raises(errors.LockNotAvailable):
            calendar.tend(days=30)
    assert calendar.tend(days=30) == INBOX_AND_OUTBOX
    conflict = await counters.handle(toy.Increment(command_id="c1", counter="n"))
    assert conflict.error is not None
    assert conflict.error.code == "idempotency_conflict"


async def test_rows_are_kept_thirty_days_after_their_partition_closed(
    counters: Bound, calendar: Calendar
) -> None:
    await counters.handle(toy.Increment(command_id="c1", counter="n"))
    calendar.publish_all()
    assert calendar.tend(days=30) == INBOX_AND_OUTBOX
    assert [change for change in calendar.tend(days=60) if change.startswith("dropped")] == []
    assert (calendar.count("inbox"), calendar.count("outbox")) == (1, 1)
    day = calendar.first.strftime("%Y%m%d")
    assert calendar.tend(days=61) == [f"dropped toy.outbox_{day}"]
    assert calendar.tend(days=64) == []
    assert (calendar.count("inbox"), calendar.count("outbox")) == (1, 0)
    # What is published again from the outbox is known to the inbox for longer.
    assert calendar.tend(days=65) == [f"dropped toy.inbox_{day}"]


async def test_what_is_not_finished_is_kept(
    counters: Bound, calendar: Calendar, outside: toy.Outside
) -> None:
    outside.away = True
    await counters.handle(toy.Charge(command_id="c1", counter="n"))
    calendar.tend(days=30)
    assert not any(change.startswith("dropped toy.inbox") for change in calendar.tend(days=200))
    outside.away = False
    await counters.handle(toy.Charge(command_id="c1", counter="n"))
    assert any(change.startswith("dropped toy.inbox") for change in calendar.tend(days=200))


async def test_what_is_not_published_is_kept(counters: Bound, calendar: Calendar) -> None:
    await counters.handle(toy.Increment(command_id="c1", counter="n"))
    calendar.tend(days=30)
    assert not any(change.startswith("dropped toy.outbox") for change in calendar.tend(days=200))
    calendar.publish_all()
    assert any(change.startswith("dropped toy.outbox") for change in calendar.tend(days=200))


async def test_the_keys_of_a_bucket_outlive_their_partition(counters: Bound, calendar: Calendar) -> None:
    async with counters.runtime.transactions.begin(caused_by="before", now=NOON) as work:
        for key, value in (("kept", 1), ("changed", 1), ("deleted", 1), ("kept", 2)):
            work.put("toys", key, orjson.dumps(value))
        work.delete("toys", "deleted")
        work.publish("ELSEWHERE", "said.once", b"0")
    calendar.publish_all()
    calendar.tend(days=30)
    async with counters.runtime.transactions.begin(caused_by="after", now=NOON) as work:
        work.put("toys", "changed", b"2")
    calendar.publish_all()
    changes = calendar.tend(days=61)
    assert f"carried 1 rows of toy.outbox_{calendar.first:%Y%m%d} on" in changes
    rows = await counters.rows("SELECT subject, payload FROM toy.outbox ORDER BY subject")
    assert [(row["subject"], row["payload"]) for row in rows] == [
        ("$KV.toys.changed", b"2"),
        ("$KV.toys.kept", b"2"),
    ]
    (due,) = await counters.rows(
        """SELECT subject FROM toy.outbox, toy.relay_position
           WHERE NOT pg_visible_in_snapshot(xid, published)"""
    )
    assert due["subject"] == "$KV.toys.kept"


def test_storage_parameters_are_handed_on(service_database: str) -> None:
    tomorrow = datetime.now(UTC).date() + timedelta(days=40)
    with psycopg.connect(service_database, autocommit=True) as owner:
        while (
            row := owner.execute("SELECT webhooks.tend_partitions_on(%s)", (tomorrow,)).fetchone()
        ) and row[0]:
            pass
        rows = owner.execute(
            """SELECT reloptions FROM pg_class JOIN pg_inherits ON inhrelid = oid
               WHERE inhparent = 'webhooks.outbox'::regclass"""
        ).fetchall()
    assert rows == [(["toast_tuple_target=8160"],)] * 2


def test_a_service_opens_and_drops_nothing_by_itself(service_database: str) -> None:
    with psycopg.connect(service_database, autocommit=True) as owner:
        row = owner.execute("SELECT min(generation) FROM webhooks.partitions").fetchone()
    day = f"{Calendar.day(row):%Y%m%d}"
    with psycopg.connect(role_url(service_database, "webhooks"), autocommit=True) as connection:
        for statement in (
            "SELECT webhooks.tend_partitions_on('2999-01-01')",
            "UPDATE webhooks.partitions SET opened_at = '2000-01-01'",
            "ALTER TABLE webhooks.inbox ALTER COLUMN generation SET DEFAULT '2000-01-01'",
            f"DROP TABLE webhooks.inbox_{day}",
            f"UPDATE webhooks.outbox_{day} SET subject = 'y'",
            f"DELETE FROM webhooks.outbox_{day}",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(statement)


@pytest.mark.parametrize("service", service_names())
async def test_a_service_may_have_its_partitions_tended(service_database: str, service: str) -> None:
    engine = make_engine(role_url(service_database, service), "test")
    try:
        assert await maintain_partitions(engine, service) == []
    finally:
        await engine.dispose()
