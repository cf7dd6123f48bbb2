"""Reads all messages of a stream, for the audit and for the repair of buckets."""

from collections.abc import AsyncIterator

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

BATCH_MESSAGES = 100
"""Messages requested at a time: usually 0.1 MB, 100 MB of the largest."""
NO_LIMIT = 0
"""nats-py drops what arrives beyond its own limits; `BATCH_MESSAGES` is the limit here."""
FETCH_TIMEOUT_SECONDS = 10.0
READER_GONE_SECONDS = 60.0
"""The server deletes the consumer of a reader that broke off after this long."""
NEXT_REQUEST = b'{"batch": %d, "no_wait": true}'


async def stored_messages(
    connection: Client, stream: str, *, newest_only: bool = False
) -> AsyncIterator[list[Msg]]:
    """Yield the messages of a stream in batches, oldest first; with `newest_only` the last of each subject.

    Raises TimeoutError if the server does not answer.
    """
    policy = DeliverPolicy.LAST_PER_SUBJECT if newest_only else DeliverPolicy.ALL
    jetstream = connection.jetstream()
    consumer = await jetstream.add_consumer(
        stream,
        ConsumerConfig(
            ack_policy=AckPolicy.NONE,
            deliver_policy=policy,
            filter_subject=">",  # required for LAST_PER_SUBJECT
            mem_storage=True,
            inactive_threshold=READER_GONE_SECONDS,
        ),
    )
    inbox = connection.new_inbox()
    subscription = await connection.subscribe(
        inbox, pending_msgs_limit=NO_LIMIT, pending_bytes_limit=NO_LIMIT
    )
    try:
        remaining = consumer.num_pending or 0
        while remaining > 0:
            wanted = min(remaining, BATCH_MESSAGES)
            next_subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer.name}"
            await connection.publish(next_subject, NEXT_REQUEST % wanted, reply=inbox)
            batch: list[Msg] = []
            while len(batch) < wanted:
                message = await _next(subscription)
                # A message without a reply is a status of the server: no messages are left.
                if not message.reply:
                    break
                batch.append(message)
            yield batch
            # Fewer than expected: some were removed or replaced meanwhile.
            remaining = remaining - wanted if len(batch) == wanted else 0
    finally:
        await subscription.unsubscribe()
        await jetstream.delete_consumer(stream, consumer.name)


async def _next(subscription: Subscription) -> Msg:
    try:
        return await subscription.next_msg(timeout=FETCH_TIMEOUT_SECONDS)
    except nats.errors.TimeoutError:
        raise TimeoutError(f"NATS did not answer within {FETCH_TIMEOUT_SECONDS:g} s") from None
