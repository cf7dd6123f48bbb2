"""A process that commits events into a service's outbox, as fast as possible or at a given rate."""

import json
import sys
import time

import psycopg

from shared.clock import utc_now
from shared.ids import new_id

EVENTS_PER_COMMIT = 100
"""What a busy worker's group commit holds; fewer, and the commits are what is measured."""
CUSTOMER = {"type": "user", "id": "1"}
ITEM = {
    "product": "team",
    "price": "team_monthly",
    "quantity": 5,
    "seats": {"strategy": "per_seat", "owner_seat": "free", "minimum": 1, "maximum": 1000},
    "features": [
        {
            "feature": f"feature_{number}",
            "kind": "flag",
            "quantity": None,
            "every": None,
            "team_allowed": True,
        }
        for number in range(5)
    ],
}
SNAPSHOT = {
    "version": 1,
    "customer": CUSTOMER,
    "status": "active",
    "collection": "automatic",
    "items": [ITEM],
    "current_period_start": "2026-01-01T00:00:00Z",
    "current_period_end": "2026-02-01T00:00:00Z",
    "trial_end": None,
    "cancel_at_period_end": False,
    "canceled_at": None,
    "ended_at": None,
    "grace_until": None,
    "scheduled_change": None,
    "stripe_subscription_id": "sub_1",
    "created_at": "2026-01-01T00:00:00Z",
}
"""About 1.3 KB as an event: a small team's subscription."""
STATEMENT = """
    INSERT INTO subscriptions.outbox
        (message_id, stream, subject, headers, payload, entity, entity_id, version, caused_by, occurred_at)
    SELECT id, 'BILLING_CHANGE_FEED', 'billing.change_feed.subscription.user_1.updatedV1', %(headers)s::jsonb,
           payload, 'subscription', id, 1, 'benchmark', %(now)s
    FROM unnest(%(ids)s::text[], %(payloads)s::bytea[]) AS new (id, payload)
"""


def main(database_url: str, events: int, per_second: int) -> None:
    """Write `events` events; `per_second` 0 means without pauses."""
    loaded = time.time()
    # Made before the clock starts: how fast this process writes JSON is not what is asked.
    ids = [new_id("evt") for _ in range(events)]
    payloads = [_payload(event_id) for event_id in ids]
    with psycopg.connect(database_url, autocommit=True, prepare_threshold=0) as connection:
        started = time.time()
        for first in range(0, events, EVENTS_PER_COMMIT):
            if per_second:
                time.sleep(max(0.0, started + first / per_second - time.time()))
            these = slice(first, first + EVENTS_PER_COMMIT)
            headers = {"content-type": "application/json", "Bench-Written-At": str(time.time())}
            values = {
                "ids": ids[these],
                "payloads": payloads[these],
                "headers": json.dumps(headers),
                "now": utc_now(),
            }
            connection.execute(STATEMENT, values, binary=True)
        seconds = time.time() - started
    print(json.dumps({"per_second": events / seconds, "started_after": started - loaded}))


def _payload(event_id: str) -> bytes:
    event = {
        "event_id": event_id,
        "occurred_at": "2026-01-01T00:00:00Z",
        "version": 1,
        "caused_by": "benchmark",
        "customer": CUSTOMER,
        "subscription": SNAPSHOT | {"subscription_id": event_id.replace("evt", "sub")},
    }
    return json.dumps(event).encode()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
