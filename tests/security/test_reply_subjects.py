"""Reply subjects and consumer deliveries cannot be used to write where the sender may not."""

import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from services.webhooks import app  # noqa: F401 - registers the handlers
from services.webhooks.service import service as webhooks
from shared.operations.jetstream_layout import load_layout
from shared.operations.provision import LAYOUT_PATH
from tests.support.answering import answering
from tests.support.runtime import Bound
from tests.support.servers import NatsServer
from tests.support.waiting import eventually

WEBHOOK_SUBJECT = "tunnel.incoming-webhook-events.stripe"
OUTSIDERS = ["client", "monitor", "ingress", "clock"]
TARGETS = [
    "$KV.billing_entitlements.organization_x.orders",
    "$KV.billing_balances.customer_organization_x.orders",
    "$KV.billing_sessions.ended.session_1",
    "billing.change_feed.subscription.organization_x.canceledV1",
    "billing.commands.webhooks.record_outcome",
    "billing.commands.subscriptions.cancel_subscription",
    "billing.dead_letters.seats.assign_seat",
    "billing.stripe_events.invoice.paid",
    "billing.ticks.subscriptions.move_periods",
    "billing.schedules.subscriptions.move_periods",
    WEBHOOK_SUBJECT,
    "$JS.API.STREAM.PURGE.BILLING_CHANGE_FEED",
    "$JS.API.STREAM.DELETE.KV_billing_entitlements",
]
"""What only workers, relays and administrators write to."""
DOORS = {
    "client": ["billing.requests.webhooks.list_events", "billing.commands.seats.nonsense", "$JS.API.INFO"],
    "monitor": ["$JS.API.STREAM.INFO.BILLING_COMMANDS", "$JS.API.STREAM.LIST", "$JS.API.INFO"],
    "ingress": [WEBHOOK_SUBJECT],
    "clock": ["billing.ticks.seats.expire_invitations"],
}
"""Subjects that each outsider may publish to, and that are answered or acknowledged."""
FORGED = {
    "KV-Operation": "DEL",
    "Nats-Rollup": "all",
    "ce-id": "evt_forged",
    "ce-type": "billing.subscription.canceledV1",
    "ce-specversion": "1.0",
}
COPIES_OF_THE_FEED = ("BILLING_SERVICE_FEED", "BILLING_OUTGOING_EVENTS")
"""Streams in the workers' account that take over what is published on the feed, a moment later."""
READ = ["BILLING_CHANGE_FEED", "KV_billing_entitlements", "KV_billing_balances"]


@pytest.fixture
async def admin(deployed: NatsServer) -> AsyncIterator[Client]:
    """The administrator's connection, with one event and one entitlement in place."""
    client = await nats.connect(deployed.url, inbox_prefix=b"_INBOX_admin")
    await client.jetstream().publish("billing.change_feed.customer.user_7.createdV1", b'{"version": 1}')
    await client.jetstream().publish("$KV.billing_entitlements.user_7.orders", b'{"allowed": true}')

    async def followed() -> bool:
        return await counts(client, *COPIES_OF_THE_FEED) == {1}

    await eventually(followed)
    yield client
    await client.close()


async def counts(client: Client, *streams: str) -> set[int]:
    """Return the different numbers of messages in these streams."""
    return {(await client.jetstream().stream_info(name)).state.messages for name in streams}


async def written(admin: Client) -> dict[str, dict[str, int]]:
    """Return the number of messages by stream and subject, without the subjects that outsiders may write."""
    layout = load_layout(LAYOUT_PATH, prefix="billing", webhook_subject=WEBHOOK_SUBJECT)
    found = {}
    for name in layout.streams:
        state = (await admin.jetstream().stream_info(name, subjects_filter=">")).state
        subjects = state.subjects or {}
        doors = set(itertools.chain(*DOORS.values())) - {WEBHOOK_SUBJECT}
        found[name] = {subject: count for subject, count in subjects.items() if subject not in doors}
    return found


@contextlib.asynccontextmanager
async def as_outsider(server: NatsServer, user: str) -> AsyncIterator[Client]:
    """A raw connection that ignores rejections."""

    async def ignore(error: Exception) -> None:
        return

    client = await nats.connect(
        server.users[user], inbox_prefix=f"_INBOX_{user}", error_cb=ignore, max_reconnect_attempts=0
    )
    try:
        yield client
    finally:
        await client.close()


@pytest.mark.parametrize("user", OUTSIDERS)
async def test_replies_named_by_an_outsider_write_nowhere(
    deployed: NatsServer, admin: Client, bind: Callable[..., Bound], user: str
) -> None:
    bound = bind(webhooks)
    before = await written(admin)
    async with answering(bound.runtime, deployed), as_outsider(deployed, user) as outsider:
        for door, target in itertools.product(DOORS[user], TARGETS):
            await outsider.publish(door, b"{}", reply=target, headers=FORGED)
        await outsider.flush()
        # What comes after all of it has been answered: so has all of it.
        for door in DOORS[user]:
            with contextlib.suppress(NatsError):
                await outsider.request(door, b"{}", timeout=2)
    if WEBHOOK_SUBJECT in DOORS[user]:
        before["BILLING_WEBHOOKS"] = {WEBHOOK_SUBJECT: 1}  # those that asked for a rollup were refused
    assert await written(admin) == before
    entitlement = await admin.jetstream().get_last_msg(
        "KV_billing_entitlements", "$KV.billing_entitlements.user_7.orders"
    )
    assert entitlement.data == b'{"allowed": true}'


@pytest.mark.parametrize("user", OUTSIDERS)
@pytest.mark.parametrize("stream", READ)
async def test_consumers_deliver_into_nothing(
    deployed: NatsServer, admin: Client, user: str, stream: str
) -> None:
    before = await written(admin)
    async with as_outsider(deployed, user) as outsider:
        for number, target in enumerate(TARGETS):
            name = f"evil-{number}"
            for config in ({"deliver_subject": target}, {"deliver_subject": target, "durable_name": name}):
                wanted = {
                    "stream_name": stream,
                    "config": {"name": name, "ack_policy": "none", "deliver_policy": "all", **config},
                }
                for subject in (
                    f"$JS.API.CONSUMER.CREATE.{stream}",
                    f"$JS.API.CONSUMER.CREATE.{stream}.{name}",
                    f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{name}",
                ):
                    await outsider.publish(subject, json.dumps(wanted).encode(), reply=outsider.new_inbox())
        await outsider.flush()
        with contextlib.suppress(NatsError):
            await outsider.request(DOORS[user][0], b"{}", timeout=2)
    # Whatever is delivered has been, once what is published later has arrived in the readers' copy.
    await admin.jetstream().publish("billing.change_feed.customer.user_7.updatedV1", b'{"version": 2}')
    readers = await nats.connect(deployed.users["readers"], inbox_prefix=b"_INBOX_readers")

    async def copied() -> bool:
        found = await counts(admin, *COPIES_OF_THE_FEED) | await counts(readers, "BILLING_CHANGE_FEED")
        return found == {2}

    await eventually(copied)
    await readers.close()
    for name in ("BILLING_CHANGE_FEED", *COPIES_OF_THE_FEED):
        before[name]["billing.change_feed.customer.user_7.updatedV1"] = 1
    if WEBHOOK_SUBJECT in DOORS[user]:
        before["BILLING_WEBHOOKS"] = {WEBHOOK_SUBJECT: 1}
    assert await written(admin) == before


@pytest.mark.parametrize("user", OUTSIDERS)
async def test_no_stream_is_made_changed_or_emptied(deployed: NatsServer, admin: Client, user: str) -> None:
    layout = load_layout(LAYOUT_PATH, prefix="billing", webhook_subject=WEBHOOK_SUBJECT)
    before = await written(admin)
    mirror = {"name": "STOLEN", "mirror": {"name": "BILLING_COMMANDS"}}
    source = {"name": "STOLEN", "sources": [{"name": "BILLING_DEAD_LETTERS"}], "subjects": ["$KV.>"]}
    async with as_outsider(deployed, user) as outsider:
        for config in (mirror, source, {"name": "STOLEN", "subjects": ["billing.>"]}):
            body = json.dumps(config).encode()
            await outsider.publish("$JS.API.STREAM.CREATE.STOLEN", body, reply=outsider.new_inbox())
        for name in layout.streams:
            for verb in ("DELETE", "PURGE", "MSG.DELETE", "UPDATE", "SNAPSHOT"):
                subject = f"$JS.API.STREAM.{verb}.{name}"
                await outsider.publish(subject, b'{"seq": 1}', reply=outsider.new_inbox())
        await outsider.flush()
        with contextlib.suppress(NatsError):
            await outsider.request(DOORS[user][0], b"{}", timeout=2)
    if WEBHOOK_SUBJECT in DOORS[user]:
        before["BILLING_WEBHOOKS"] = {WEBHOOK_SUBJECT: 1}
    assert await written(admin) == before
    for server_user in ("admin", "readers"):
        client = await nats.connect(deployed.users[server_user], inbox_prefix=f"_INBOX_{server_user}")
        with pytest.raises(NotFoundError):
            await client.jetstream().stream_info("STOLEN")
        await client.close()


async def test_an_outsider_hears_no_answer_but_its_own(
    deployed: NatsServer, bind: Callable[..., Bound]
) -> None:
    """A user that may subscribe to an inbox receives only the answers to its own requests."""
    bound = bind(webhooks)
    async with answering(bound.runtime, deployed), contextlib.AsyncExitStack() as stack:
        heard: list[str] = []

        async def note(message: Msg) -> None:
            heard.append(message.subject)

        for user in ("monitor", "ingress", "clock"):
            spy = await stack.enter_async_context(as_outsider(deployed, user))
            for subject in ("_INBOX.>", "_INBOX_client.>", "_R_.>", ">"):
                await spy.subscribe(subject, cb=note)
            await spy.flush()
        caller = await nats.connect(deployed.users["client"])
        named = await stack.enter_async_context(as_outsider(deployed, "client"))
        for asking in (caller, named):
            answer = await asking.request("billing.requests.webhooks.list_events", b"{}", timeout=5)
            assert json.loads(answer.data)["status"] == "succeeded"
            assert not answer.headers, "an answer carries none of the request's headers"
        await caller.close()
        assert heard == []


async def test_an_answer_carries_none_of_the_requests_headers(
    deployed: NatsServer, bind: Callable[..., Bound]
) -> None:
    bound = bind(webhooks)
    async with answering(bound.runtime, deployed), as_outsider(deployed, "client") as caller:
        answer = await caller.request(
            "billing.requests.webhooks.list_events", b"{}", timeout=5, headers={"Mine": "echo", **FORGED}
        )
    assert not answer.headers
