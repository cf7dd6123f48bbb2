"""Large numbers of seats whose monthly units are due, written directly into the tables."""

from datetime import datetime

import psycopg

TEAM_SEATS = 1_000
QUANTITY, USED = 10, 7
"""Of last month's units some are left, so that each renewal ends a grant as well as making one."""

MAKE = (
    """
    INSERT INTO consumables.known_subscriptions
        (subscription_id, version, customer, product, bought, status, grants, period_start, period_end,
         anchor)
    SELECT 'sub_' || %(tag)s || n, 1, 'organization_' || %(tag)s || n, 'team', 'team*1', 'active', true,
           %(start)s, %(start)s::timestamptz + interval '1 year', %(start)s
    FROM generate_series(1, %(teams)s) AS n
    """,
    """
    INSERT INTO consumables.terms
        (subscription_id, slot, feature, kind, reach, every, quantity, rollover, offered)
    SELECT 'sub_' || %(tag)s || n, 'hours.seat.month', 'hours', 'consumable', 'seat', 'month', %(quantity)s,
           0, true
    FROM generate_series(1, %(teams)s) AS n
    """,
    """
    INSERT INTO consumables.accounts (account, customer, suspended, created_at)
    SELECT 'seat:seat_' || %(tag)s || n, 'organization_' || %(tag)s || (n - 1) / %(seats)s::int + 1, false,
           %(start)s
    FROM generate_series(1, %(teams)s::int * %(seats)s) AS n
    """,
    """
    INSERT INTO consumables.balances
        (account, feature, kind, version, granted, consumed, remaining, last_granted)
    SELECT account, 'hours', 'consumable', 2, %(quantity)s, %(used)s, %(quantity)s - %(used)s, %(quantity)s
    FROM consumables.accounts WHERE account LIKE 'seat:seat_' || %(tag)s || '%%'
    """,
    """
    INSERT INTO consumables.grants
        (grant_id, account, feature, key, quantity, consumed, remaining, expires_at, priority, source,
         created_at)
    SELECT 'grant_' || %(tag)s || substr(account, 10 + length(%(tag)s)), account, 'hours', account,
           %(quantity)s, %(used)s, %(quantity)s - %(used)s, %(start)s::timestamptz + interval '1 month', 100,
           '{"kind": "subscription"}', %(start)s
    FROM consumables.balances WHERE account LIKE 'seat:seat_' || %(tag)s || '%%'
    """,
    """
    INSERT INTO consumables.allotments
        (subscription_id, slot, account, feature, multiplier, prorated, cycle_number, cycle_start, granted,
         grant_ids, next_at, closed)
    SELECT 'sub_' || substr(customer, 14), 'hours.seat.month', account, 'hours', 1, false, 0, %(start)s,
           %(quantity)s, ARRAY['grant_' || %(tag)s || substr(account, 10 + length(%(tag)s))],
           %(start)s::timestamptz + interval '1 month', false
    FROM consumables.accounts WHERE account LIKE 'seat:seat_' || %(tag)s || '%%'
    """,
)
SETTLE = "VACUUM (ANALYZE, FREEZE) consumables.grants, consumables.balances, consumables.allotments"


def make_seats(owner_url: str, tag: str, count: int, start: datetime) -> None:
    """Insert seats, a thousand for each team, whose next grant is due a month after `start`."""
    values = {
        "tag": tag,
        "teams": count // TEAM_SEATS,
        "seats": TEAM_SEATS,
        "start": start,
        "quantity": QUANTITY,
        "used": USED,
    }
    with psycopg.connect(owner_url, autocommit=True) as connection:
        for statement in MAKE:
            connection.execute(statement, values)
        connection.execute(SETTLE)
