"""The SQL statements of `bulk_renewal.py`, composed from constants of this module."""

BOUNDARY = "(anchor AT TIME ZONE 'UTC' + {number} * ('1 ' || every)::interval) AT TIME ZONE 'UTC'"
"""The start of a cycle, equal to `domain.grant_cycles.boundary`; tests compare the two."""

CHOOSE = f"""
    WITH candidates AS MATERIALIZED (
        -- Conditions that the index cannot answer would make each batch scan all due allotments.
        SELECT ctid AS place, next_at, subscription_id, account, slot, feature, granted, grant_ids,
               cycle_number, withheld
        FROM consumables.allotments
        WHERE next_at <= %(at)s AND (next_at, subscription_id, account, slot)
              > (%(next_at)s, %(subscription_id)s, %(account)s, %(slot)s)
          -- Without those that wait for their next period, which would be locked again by every tick.
          AND (
              SELECT grants AND ended_at IS NULL AND next_at < period_end
              FROM consumables.known_subscriptions AS known
              WHERE known.subscription_id = allotments.subscription_id
          )
          {{only}}
        ORDER BY next_at, subscription_id, account, slot
        LIMIT %(limit)s
        FOR UPDATE SKIP LOCKED
    ),
    chosen AS (
        SELECT place
        FROM candidates
        JOIN consumables.terms USING (subscription_id, slot)
        JOIN consumables.known_subscriptions USING (subscription_id)
        WHERE kind = 'consumable' AND offered AND quantity > 0 AND granted IS NOT NULL
          AND status <> 'override'  -- their grants have another source
          AND ends_at IS NULL  -- their grants may have another end
          AND withheld = 0
          AND cardinality(grant_ids) < 62  -- an id has room for so many numbers
          AND NOT EXISTS (
              -- Whether a usage alert is armed again is decided one by one.
              SELECT FROM consumables.usage_alerts AS alerts
              WHERE alerts.account = candidates.account AND alerts.feature = candidates.feature
          )
          -- Only the next cycle, and only if that one is not over as well.
          AND next_at = {BOUNDARY.format(number="(cycle_number + 1)")}
          AND {BOUNDARY.format(number="(cycle_number + 2)")} > least(%(at)s, period_end - interval '1 us')
          AND NOT EXISTS (
              -- Several due allotments of one balance are left to renewal one by one.
              SELECT FROM consumables.allotments AS other
              WHERE other.account = candidates.account AND other.feature = candidates.feature
                AND other.next_at <= %(at)s
                AND (other.subscription_id, other.slot) <> (candidates.subscription_id, candidates.slot)
          )
    )
    SELECT (SELECT coalesce(array_agg(place), '{{{{}}}}')::text FROM chosen), count(*),
           (SELECT ARRAY[next_at::text, subscription_id, account, slot] FROM candidates
            ORDER BY next_at DESC, subscription_id DESC, account DESC, slot DESC LIMIT 1)
    FROM candidates
"""  # noqa: S608 - put together from the constants of this module
OF_SUBSCRIPTION = "AND subscription_id = %(only_subscription)s"

AT_PLACES = """
    unnest(%(places)s::tid[]) AS place,
    LATERAL (SELECT * FROM consumables.allotments WHERE allotments.ctid = place OFFSET 0) AS allotments
"""
"""The chosen allotments, each fetched by its row address; a join might scan the whole table."""
LOCK_BALANCES = f"""
    SELECT count(*) FROM (
        SELECT 1 FROM {AT_PLACES}
        JOIN consumables.balances USING (account, feature)
        ORDER BY account, feature FOR UPDATE OF balances
    ) AS locked
"""  # noqa: S608

_SECONDS = """to_char(stop AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS')"""
_PARTS = """to_char(stop AT TIME ZONE 'UTC', '.US')"""
_STOP_TEXT = f"{_SECONDS} || CASE WHEN date_trunc('second', stop) = stop THEN '' ELSE {_PARTS} END || 'Z'"
"""The end of a cycle in the format of messages: fractions of a second only if there are any."""


def _id(prefix: str, number: str) -> str:
    return f"'{prefix}_' || %(id)s || lpad(to_hex({number}), 5, '0')"


def _entry(kind: str, entry_id: str, grant_id: str, quantity: str) -> str:
    return f"""
        concat(
            '{{"entry_id":"', {entry_id}, '","account":"', account, '","feature":"', feature,
            '","grant_id":"', {grant_id}, '","kind":"{kind}","quantity":', {quantity},
            ',"consumer":null,"caused_by":', %(cause_json)s::text, ',"reservation_id":null,"metadata":null,',
            '"occurred_at":"', %(now_text)s::text, '"}}'
        )
    """


def _event(name: str, *, event_id: str, version: str, granted: str, remaining: str, more: str) -> str:
    """Return the SQL of the columns of an event's outbox row."""
    return f"""
        {event_id}, %(feed)s,
        concat(%(before_customer)s::text, customer, %(after_customer)s::text, '{name}V1'),
        concat(
            '{{"ce-specversion":"1.0","ce-source":"/billing/consumables",',
            '"ce-type":"billing.consumable.{name}V1","content-type":"application/json","ce-time":"',
            %(now_text)s::text, '","ce-id":"', {event_id}, '","ce-subject":"', customer, '"',
            %(trace)s::text, '}}'
        )::jsonb,
        convert_to(
            concat(
                '{{"event_id":"', {event_id}, '","occurred_at":"', %(now_text)s::text, '","version":',
                {version}, ',"caused_by":', %(cause_json)s::text, ',"customer":{{"type":"',
                split_part(customer, '_', 1), '","id":"', substr(customer, strpos(customer, '_') + 1),
                '"}},"consumable":{{"consumable_id":"', key, '","version":', {version},
                ',"account":"', account, '","feature":"', feature, '","kind":"consumable","granted":',
                CASE WHEN unlimited > 0 THEN 'null' ELSE ({granted} + beyond)::text END,
                ',"consumed":', consumed, ',"reserved":', reserved, ',"expired":', expired + lapsing,
                ',"remaining":', CASE WHEN unlimited > 0 THEN 'null' ELSE ({remaining})::text END,
                '}},"entries":[', {more}, '}}'
            ),
            'UTF8'
        ),
        'consumable', key, {version}
    """


_EXPIRED = _event(
    "expired",
    event_id=_id("evt", "n"),
    version="(version + 1)",
    granted="granted",
    remaining="remaining - lapsing",
    more="""entries, '],"grant":null'""",
)
_CARRIED_ENTRY = _entry("granted", _id("entry", "n * 8 + 62"), "carried_id", "carried")
_GRANTED_ENTRY = _entry("granted", _id("entry", "n * 8 + 63"), "grant_id", "wanted")
_GRANTED = _event(
    "granted",
    event_id=_id("evt", "n + 1"),
    version="told",
    granted="granted + wanted + carried",
    remaining="remaining - lapsing + wanted + carried",
    more=f"""
        CASE WHEN carried > 0 THEN {_CARRIED_ENTRY} || ',' END, {_GRANTED_ENTRY},
        '],"grant":{{"grant_id":"', grant_id, '","version":1,"account":"', account, '","feature":"', feature,
        '","quantity":', wanted, ',"remaining":', wanted, ',"expires_at":"', stop_text, '","priority":',
        %(priority)s, ',"source":{{"kind":"subscription"', whose, ',"revoked":false,"created_at":"',
        %(now_text)s::text, '"}}'
    """,
)
RENEW = f"""
    WITH chosen AS MATERIALIZED (
        SELECT row_number() OVER (ORDER BY account, allotments.feature) * 8 AS n,
               place, subscription_id, slot, account, allotments.feature, quantity * multiplier AS wanted,
               rollover, allotments.granted AS gave, grant_ids, cycle_number + 1 AS number, next_at AS start,
               {BOUNDARY.format(number="(cycle_number + 2)")} AS stop, product, customer_of.customer,
               replace(account, ':', '_') || '.' || allotments.feature AS key,
               balances.version, balances.granted, beyond, consumed, reserved, balances.expired,
               balances.remaining, unlimited
        FROM {AT_PLACES}
        JOIN consumables.terms USING (subscription_id, slot)
        JOIN consumables.known_subscriptions USING (subscription_id)
        JOIN consumables.balances USING (account)
        JOIN consumables.accounts AS customer_of USING (account)
        WHERE balances.feature = allotments.feature
    ),
    old AS MATERIALIZED (
        SELECT chosen.n, grant_id, grants.remaining, ended_at IS NULL AS is_open,
               grants.remaining + CASE WHEN revoked THEN 0 ELSE grants.expired END AS unused,
               grants.consumed + grants.reserved AS in_use, priority = %(priority)s AS is_own, held.m
        FROM chosen, unnest(grant_ids) WITH ORDINALITY AS held (grant_id, m)
        JOIN consumables.grants USING (grant_id)
    ),
    lapsed AS MATERIALIZED (
        -- Of the plan's own units nothing is left that was taken back within the cycle.
        SELECT old.n,
               coalesce(sum(old.unused) FILTER (WHERE NOT is_own), 0)
               + least(
                   coalesce(sum(old.unused) FILTER (WHERE is_own), 0),
                   greatest(0, max(chosen.gave) - coalesce(sum(old.in_use) FILTER (WHERE is_own), 0))
               ) AS unused,
               sum(old.remaining) FILTER (WHERE is_open) AS lapsing,
               string_agg(
                   {_entry("expired", _id("entry", "old.n * 8 + m"), "grant_id", "old.remaining")}, ','
                   ORDER BY m
               ) FILTER (WHERE is_open AND old.remaining > 0) AS entries
        FROM old JOIN chosen USING (n) GROUP BY old.n
    ),
    due AS MATERIALIZED (
        SELECT chosen.*, least(rollover, coalesce(unused, 0)) AS carried, coalesce(lapsing, 0) AS lapsing,
               entries, version + 1 + (entries IS NOT NULL)::int AS told,
               {_id("grant", "n")} AS grant_id, {_id("grant", "n + 1")} AS carried_id,
               {_STOP_TEXT} AS stop_text,
               subscription_id || '/' || slot || '/' || account || '/'
               || to_char(start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') || '/' AS for_what,
               ',"subscription_id":"' || subscription_id || '","product":'
               || coalesce(to_json(product)::text, 'null') || ',"recharge_id":null,"reason":null}}' AS whose
        FROM chosen LEFT JOIN lapsed USING (n)
    ),
    ended AS (
        UPDATE consumables.grants AS ending
        SET expired = ending.expired + ending.remaining, remaining = 0, open = false, ended_at = %(now)s,
            version = version + 1
        FROM old WHERE ending.grant_id = old.grant_id AND is_open
    ),
    made AS (
        INSERT INTO consumables.grants
            (grant_id, account, feature, key, quantity, remaining, expires_at, priority, source, created_at)
        SELECT carried_id, account, feature, for_what || 0, carried, carried, stop, %(carried_priority)s,
               ('{{"kind":"rollover"' || whose)::jsonb, %(now)s
        FROM due WHERE carried > 0
        UNION ALL
        SELECT grant_id, account, feature, for_what || (carried > 0)::int, wanted, wanted, stop, %(priority)s,
               ('{{"kind":"subscription"' || whose)::jsonb, %(now)s
        FROM due
    ),
    entered AS (
        INSERT INTO consumables.entries
            (entry_id, account, feature, grant_id, kind, quantity, caused_by, occurred_at)
        SELECT {_id("entry", "n * 8 + m")}, account, feature, old.grant_id, 'expired', old.remaining,
               %(cause)s, %(now)s
        FROM old JOIN due USING (n) WHERE is_open AND old.remaining > 0
        UNION ALL
        SELECT {_id("entry", "n * 8 + 62")}, account, feature, carried_id, 'granted', carried, %(cause)s,
               %(now)s
        FROM due WHERE carried > 0
        UNION ALL
        SELECT {_id("entry", "n * 8 + 63")}, account, feature, grant_id, 'granted', wanted, %(cause)s, %(now)s
        FROM due
    ),
    written AS (
        UPDATE consumables.balances
        SET version = due.told, granted = due.granted + wanted + carried, expired = due.expired + lapsing,
            remaining = due.remaining - lapsing + wanted + carried, last_granted = wanted
        FROM due WHERE balances.account = due.account AND balances.feature = due.feature
    ),
    moved AS (
        UPDATE consumables.allotments
        SET cycle_number = number, cycle_start = start, granted = wanted, next_at = stop,
            grant_ids = CASE WHEN carried > 0 THEN ARRAY[carried_id] ELSE '{{}}'::text[] END || due.grant_id
        FROM due WHERE allotments.ctid = place
    ),
    told AS (
        SELECT n, 0 AS part, {_EXPIRED} FROM due WHERE entries IS NOT NULL
        UNION ALL
        SELECT n, 1, {_GRANTED} FROM due
        UNION ALL
        SELECT n, 2, {_id("msg", "n")}, %(bucket)s, %(key_subject)s || key, %(no_headers)s::jsonb,
               convert_to(
                   concat(
                       '{{"remaining":',
                       CASE WHEN unlimited > 0 THEN 'null'
                           ELSE (remaining - lapsing + wanted + carried)::text END,
                       ',"version":', told, '}}'
                   ), 'UTF8'
               ), NULL, NULL, NULL
        FROM due
    )
    INSERT INTO consumables.outbox
        (message_id, stream, subject, headers, payload, entity, entity_id, version, caused_by, occurred_at)
    SELECT message_id, stream, subject, headers, payload, entity, entity_id, version, %(cause)s, %(now)s
    FROM told AS told (n, part, message_id, stream, subject, headers, payload, entity, entity_id, version)
    ORDER BY n, part
"""  # noqa: S608
