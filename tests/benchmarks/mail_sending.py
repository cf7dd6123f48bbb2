"""Mails per second from the queue to the mail catcher, over the connections that a worker has, and the
memory.

The mails are rendered, handed over one by one, and each result is committed before the next.
"""

import time

import psutil
import psycopg

from tests.support.stack import Stack, stack

MAILS = 10_000
WANTED_PER_SECOND = 200
GROWTH_MAX_MEGABYTES = 60
QUEUE = """
    INSERT INTO notifications.notifications (notification_id, version, kind, cause, recipient, customer,
    facts,
        is_forced, status, attempts, message_id, happened_at, created_at, next_attempt_at)
    SELECT 'ntf_' || lpad(n::text, 26, '0'), 0, 'invoice_paid', 'inv_' || n, 'p' || n || '@example.com',
        'organization_acme',
        '{"number": "TS-1", "amount": {"amount": 4900, "currency": "eur"}}', false, 'queued', 0,
        '<' || n || '@example.com>', now(), now(), now()
    FROM generate_series(1, %s) AS n
"""
SENT = "SELECT count(*) FROM notifications.notifications WHERE status = 'sent'"


def run() -> dict[str, object]:
    """Queue the mails, start a worker, and wait until they are sent."""
    with (
        stack() as running,
        running.mailbox() as (_, smtp_url),
        psycopg.connect(running.owner_url, autocommit=True) as database,
    ):
        database.execute(QUEUE, (MAILS,))
        with running.worker("notifications", {"SMTP_URL": smtp_url}):
            seconds, growth = _watch(running, database)
    rate = round(MAILS / seconds)
    return {
        "name": "mail_sending",
        "mails_per_second": rate,
        "memory_growth_mb": growth,
        "ratio": round(rate / WANTED_PER_SECOND, 2),
        "wanted": 1,
    }


def _watch(running: Stack, database: "psycopg.Connection[tuple[int]]") -> tuple[float, int]:
    process = psutil.Process(running.children["notifications"].pid)
    first = _sent(database)
    started, before = time.monotonic(), process.memory_info().rss
    while (sent := _sent(database)) < MAILS:
        if sent < MAILS // 10:
            before = process.memory_info().rss  # warm
        time.sleep(0.2)
    seconds = (time.monotonic() - started) * MAILS / (MAILS - first)
    return seconds, (process.memory_info().rss - before) // 1_048_576


def _sent(database: "psycopg.Connection[tuple[int]]") -> int:
    row = database.execute(SENT).fetchone()
    return row[0] if row else 0
