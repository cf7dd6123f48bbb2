"""Every limit of the plumbing, with its reason. Units are last in the names."""

REQUESTS_AT_ONCE = 32
"""Requests of one kind that one worker handles at the same time; more wait in its NATS subscription."""

DATABASE_CONNECTIONS = 16
"""Connections in a worker's pool. They keep about two cores of Postgres busy; more would only queue there."""
DATABASE_CONNECTIONS_PER_WORKER = DATABASE_CONNECTIONS + 2
"""The pool, which sweep, jobs and readiness checks use too, the relay's connection, and the connection that
an HTTP ingress commits over."""
WORKER_REPLICAS_DEFAULT = 4
"""Workers of one service at a time: two, and their two successors during an upgrade. Their 72 connections
fit into the 100 of Postgres' default."""
DATABASE_CONNECT_TIMEOUT_SECONDS = 5
DATABASE_POOL_TIMEOUT_SECONDS = 10
"""Longer than any wait in normal operation; after it the caller gets `unavailable` and retries."""
DATABASE_STATEMENT_TIMEOUT_SECONDS = 30
"""No statement takes this long unless it is stuck; it must not hold locks for ever."""
PROJECTION_LAG_SECONDS = 1.0
"""An event of one service is applied by the others within this."""
PROJECTION_RETRY_SECONDS = 0.05
"""Pause before a command or question that raised NotYetKnown is retried."""
DATABASE_CONFLICT_TRIES = 4
"""How often a transaction is tried; deadlocks and serialization failures rarely need more than three."""

PULL_BATCH_MESSAGES = 32
"""Messages that a worker pulls from JetStream at a time. They are handled concurrently before the next pull,
so that none wait in memory, where a worker that stops would leave them until their `ack_wait` is over."""
PULL_RETRY_SECONDS = 1.0
"""Pause of a pull loop whose connection is closed or whose stream does not answer. FastStream pulls again at
once, which blocks the event loop."""
PULL_TIMEOUT_SECONDS = 5.0
"""How long one pull waits on the server; also bounds how long a stop takes."""
GRACEFUL_STOP_SECONDS = 10.0
"""Handlers in flight may finish within this when a worker stops; below every consumer's `ack_wait`."""

RETRY_DELAYS_SECONDS = (0.5, 1, 2, 5, 10, 30, 60, 120, 300)
"""Pauses before each redelivery of a message that failed: short for a blip, long for an outage."""
DELIVERIES_MAX = len(RETRY_DELAYS_SECONDS) + 1
"""After this many deliveries a message is a dead letter."""
OUTAGE_RETRY_SECONDS = 2.0
"""Pause before the next try while the database is away; the message is held and uses up no attempt."""
DELIVERIES_WITHOUT_END_MAX = 300
"""After this many deliveries a message becomes a dead letter without being handled, because it may be what
crashes the worker. Retries during an outage of an external provider take about a day to reach it."""

EXTERNAL_SWEEP_SECONDS = 30.0
"""How often a worker looks for external commands that a crash left unfinished."""
EXTERNAL_UNFINISHED_AFTER_SECONDS = 90
"""An external command without an outcome for this long has lost its worker."""
EXTERNAL_SWEEP_BATCH = 50

RELAY_BATCH_MESSAGES = 1_000
"""Messages in one atomic batch: the most that the server takes."""
RELAY_FLUSH_MESSAGES = 100
"""Messages of a batch written without a pause: about 3 ms in which no other task of the process runs. After
that they are sent, and the server can begin."""
RELAY_WINDOW_ROWS = 5_000
"""Outbox rows held in memory at a time: about 10 MB of typical events."""
RELAY_POLL_SECONDS = 0.1
"""How often the relay polls for commits of other replicas; commits of its own worker wake it at once."""
RELAY_RETRY_SECONDS = 1.0
RELAY_PUBLISH_TIMEOUT_SECONDS = 10.0

GROUP_COMMIT_MAX_ITEMS = 512
"""Commands in one group commit; larger groups do not lower the cost of a commit further."""
GROUP_COMMIT_MAX_WAITING = 10_000
"""Commands that may wait for a group; more are answered with `unavailable` rather than kept in memory."""

ASK_TIMEOUT_SECONDS = 15.0
"""How long one service waits for another, which may be waiting for an external provider."""

PAYLOAD_MAX_BYTES = 900_000
"""Limit of the body of a command or question. The largest is a command with 500 items of 1 KB. The rest up to
the limit of NATS is left for headers."""
MESSAGE_MAX_BYTES = 1_000_000
"""Limit of headers and body of a published message. NATS takes 1 MiB (`max_payload`) and closes the
connection of a client that sends more; the difference leaves room for the headers that the relay adds."""
DEAD_LETTER_HEADERS_MAX_BYTES = 32_768
"""Headers of the original message that a dead letter keeps: far more than our own messages have."""

READY_CHECK_TIMEOUT_SECONDS = 3.0
START_RETRY_SECONDS = 1.0
"""Pause between attempts to reach the database and NATS when a worker starts before them."""
PROGRESS_SECONDS = 20.0
"""How often a long handling reports progress to JetStream; a third of the shortest `ack_wait`."""
GC_ALLOCATIONS = 20_000
"""Allocations between two runs of the garbage collector. A batch of a thousand messages makes as many; with
Python's default of 700 the collector would run dozens of times for each batch."""
RELAY_GATHER_ROWS = 500
RELAY_GATHER_SECONDS = 0.03
"""The relay waits this long for more rows, unless its last batch had RELAY_GATHER_ROWS. A row in a batch of
500 costs relay, Postgres and NATS a fifth of a row in a batch of 32, and the pause leaves the processor to
the worker's commands."""

INBOX_KEPT_DAYS = 35
"""How long a command_id is remembered at least; idempotency is guaranteed for 30 days. Longer than the
outbox, so that a queued command that is published again from there is still known."""
OUTBOX_KEPT_DAYS = 31
"""Longer than the streams keep messages (`max_age` in streams.yaml), so that they can be rebuilt from it."""
PARTITION_MAINTENANCE_SECONDS = 3_600
"""How often a worker checks whether a partition is due; a day late would do no harm."""
