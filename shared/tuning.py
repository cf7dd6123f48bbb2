"""Every limit of the plumbing, with its reason. Units are last in the names."""

REQUESTS_AT_ONCE = 32
"""Requests of one kind that one worker handles at the same time; more wait in its NATS subscription."""

DATABASE_CONNECTIONS = 16
"""Per worker. About what two cores of Postgres keep busy; more only queue inside the database."""
DATABASE_CONNECTIONS_PER_WORKER = DATABASE_CONNECTIONS + 2
"""The pool, from which sweep, jobs and readiness take theirs too; the relay's connection; and the one that
the ingress of webhooks commits over."""
WORKER_REPLICAS_DEFAULT = 4
"""Workers of one service at a time: two, and their two successors during an upgrade. Their 72 connections
leave room for others among Postgres' 100."""
DATABASE_CONNECT_TIMEOUT_SECONDS = 5
DATABASE_POOL_TIMEOUT_SECONDS = 10
"""Longer than any healthy wait; then the caller hears `unavailable` and asks again."""
DATABASE_STATEMENT_TIMEOUT_SECONDS = 30
"""No statement of ours takes this long unless it is stuck; it must not hold locks for ever."""
PROJECTION_LAG_SECONDS = 1.0
"""A catalog just applied, or a seat just claimed, is known to the other services within this."""
PROJECTION_RETRY_SECONDS = 0.05
"""Pause before a command that found nothing yet is tried again."""
DATABASE_CONFLICT_TRIES = 4
"""Deadlocks and serialization failures resolve themselves on a second or third try."""

PULL_BATCH_MESSAGES = 32
"""Messages a worker takes from JetStream at a time; they are handled concurrently, then the next are taken.
None wait in memory, where a worker that stops would leave them until their `ack_wait` is over."""
PULL_RETRY_SECONDS = 1.0
"""Pause of a pull loop whose connection is closed or whose stream does not answer. FastStream asks again at
once, which keeps the whole process from doing anything else."""
PULL_TIMEOUT_SECONDS = 5.0
"""How long one pull waits on the server; also bounds how long a stop takes."""
GRACEFUL_STOP_SECONDS = 10.0
"""Handlers in flight may finish within this when a worker stops; below every consumer's `ack_wait`."""

RETRY_DELAYS_SECONDS = (0.5, 1, 2, 5, 10, 30, 60, 120, 300)
"""Pauses before each redelivery of a message that failed: quick for a blip, patient for an outage."""
DELIVERIES_MAX = len(RETRY_DELAYS_SECONDS) + 1
"""After this many deliveries a message is a dead letter."""
OUTAGE_RETRY_SECONDS = 2.0
"""Pause before the next try while the database is away; the message is held, it has done nothing wrong."""
DELIVERIES_WITHOUT_END_MAX = 300
"""After so many deliveries a message is buried unhandled: it may be what ends the worker each time.
Waiting for a provider that is away takes about a day to come this far."""

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
"""How long a commit of another replica may wait for the relay; our own commits wake it at once."""
RELAY_RETRY_SECONDS = 1.0
RELAY_PUBLISH_TIMEOUT_SECONDS = 10.0

GROUP_COMMIT_MAX_ITEMS = 512
"""Commands in one group commit; beyond this, waiting longer gains nothing on the commit's cost."""
GROUP_COMMIT_MAX_WAITING = 10_000
"""Commands that may wait for a group; more are refused as `unavailable` rather than kept in memory."""

ASK_TIMEOUT_SECONDS = 15.0
"""How long one service waits for another, which may wait for Stripe itself."""

PAYLOAD_MAX_BYTES = 900_000
"""The body of a command or question; a larger one is refused at the edge. The largest of ours is
`assign_seats` with 500 seats and 1 KB to each of them. The rest up to what NATS takes is left for headers."""
MESSAGE_MAX_BYTES = 1_000_000
"""Headers and body of a message that we publish. NATS takes 1 MiB (`max_payload`) and closes the connection
of whoever sends more; the difference leaves room for the headers that the relay adds."""
DEAD_LETTER_HEADERS_MAX_BYTES = 32_768
"""Headers of the original message that a dead letter keeps: far more than any sender of ours sets."""

READY_CHECK_TIMEOUT_SECONDS = 3.0
START_RETRY_SECONDS = 1.0
"""Pause between attempts to reach the database and NATS when a worker starts before them."""
PROGRESS_SECONDS = 20.0
"""How often a long handling says that it goes on; a third of the shortest `ack_wait`."""
GC_ALLOCATIONS = 20_000
"""Objects made between two runs of the garbage collector. A batch of a thousand messages makes as many; with
Python's own 700 the collector would run dozens of times for each batch."""
RELAY_GATHER_ROWS = 500
RELAY_GATHER_SECONDS = 0.03
"""The relay waits this long for more, unless it just found as many rows as the number above. A row costs
relay, Postgres and NATS five times less in a batch of 500 than in one of 32, and meanwhile the worker's
commands have the processor to themselves."""

INBOX_KEPT_DAYS = 35
"""How long a command_id is remembered at least: the promise of idempotency is 30 days. Longer than the
outbox, so that a queued command that is published again from there is still known."""
OUTBOX_KEPT_DAYS = 31
"""Longer than the streams keep messages (`max_age` in streams.yaml), so that the tables can rebuild them."""
PARTITION_MAINTENANCE_SECONDS = 3_600
"""How often a worker looks whether a partition is due; a day late would do no harm."""
