"""The replay: publishes every outbox again to rebuild streams and buckets.

Run as `python -m shared.operations.replay`. A stream that still exists gets duplicates of older messages,
which consumers detect by their version. A bucket gets the newest value of every key, and loses the keys that
no service has put there.
"""

import argparse
import asyncio
import os
import sys
from typing import Any

import nats.errors as nats_errors
import psycopg
from psycopg.rows import dict_row

from shared.messaging.nats_connection import connect
from shared.messaging.relay import start_over
from shared.operations.bucket_repair import remove_foreign_keys
from shared.persistence.migrations import service_names
from shared.settings import Settings

POLL_SECONDS = 0.5
STALLED_AFTER_SECONDS = 60
"""Without progress for this long no relay is running."""

REMAINING = """
    SELECT count(*) AS remaining FROM {schema}.outbox, {schema}.relay_position AS position
    WHERE NOT pg_visible_in_snapshot(xid, position.published)
      AND id > CASE WHEN position.part_of IS NULL THEN 0 ELSE position.part_after_id END
"""


async def replay(database_url: str, nats_url: str, services: list[str]) -> None:
    """Reset the relays of these services and wait until they have published everything again.

    Then remove the keys from the buckets that no service has put there.
    """
    connection = await psycopg.AsyncConnection.connect(database_url, autocommit=True, row_factory=dict_row)
    async with connection:
        for service in services:
            await start_over(connection, service)
        for service in services:
            await _wait_until_published(connection, service)
        await _repair_buckets(connection, nats_url)


async def _wait_until_published(connection: psycopg.AsyncConnection[dict[str, Any]], service: str) -> None:
    total = remaining = await _remaining(connection, service)
    quiet_seconds = 0.0
    while remaining:
        print(f"\r{service}: {total - remaining} of {total}", end="", flush=True)
        await asyncio.sleep(POLL_SECONDS)
        before, remaining = remaining, await _remaining(connection, service)
        quiet_seconds = 0.0 if remaining < before else quiet_seconds + POLL_SECONDS
        if quiet_seconds > STALLED_AFTER_SECONDS:
            sys.exit(f"\n{service}: nobody is publishing. Is its worker running, and NATS reachable?")
    print(f"\r{service}: {total} of {total} published again")


async def _repair_buckets(database: psycopg.AsyncConnection[dict[str, Any]], nats_url: str) -> None:
    """Remove the keys that no service has put into a bucket."""
    nats = await connect(nats_url, "replay")
    try:
        found = await remove_foreign_keys(nats, database, service_names())
    except (TimeoutError, nats_errors.Error) as error:
        reason = str(error) or type(error).__name__
        sys.exit(
            f"The buckets were not searched for keys of others ({reason}): NATS_URL must be that of `admin`."
        )
    finally:
        await nats.close()
    for subject in found.removed:
        print(f"{subject!r} was removed: no service has put it there")
    for subject in found.left:
        print(f"{subject!r} could not be removed: it has just changed, or its name is not UTF-8")


async def _remaining(connection: psycopg.AsyncConnection[dict[str, Any]], service: str) -> int:
    row = await (await connection.execute(REMAINING.format(schema=service))).fetchone()
    return int(row["remaining"]) if row else 0


def main() -> None:
    """Replay the services that the arguments name."""
    parser = argparse.ArgumentParser(prog="replay", description=__doc__)
    parser.add_argument("services", nargs="*", help="which services' events; all of them by default")
    chosen = parser.parse_args().services or service_names()
    unknown = sorted(set(chosen) - set(service_names()))
    if unknown:
        sys.exit(f"There is no service {', '.join(unknown)}; there are {', '.join(service_names())}.")
    settings = Settings()
    nats_url = os.environ.get("NATS_ADMIN_URL", settings.nats_url.get_secret_value())
    asyncio.run(replay(settings.database_url.get_secret_value(), nats_url, chosen))


if __name__ == "__main__":
    main()
