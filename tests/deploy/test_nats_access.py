"""What each NATS user is there for works, on a server with `deploy/nats.conf` and every stream."""

import pytest
from nats.errors import TimeoutError as NatsTimeout

from tests.deploy.test_nats_permissions import WEBHOOK_SUBJECT
from tests.support.nats_permissions import acting_as, plain_connection
from tests.support.servers import NatsServer
from tests.support.waiting import eventually


async def test_a_plain_client_sends_commands_and_gets_answers(server: NatsServer) -> None:
    caller = await plain_connection(server, "client")
    async with (
        acting_as(server, "subscriptions") as service,
        acting_as(server, "subscriptions_answers") as answering,
    ):
        requests = await service.client.subscribe("billing.requests.subscriptions.*", "subscriptions")
        await service.client.flush()
        acknowledgement = await caller.jetstream().publish(
            "billing.commands.subscriptions.cancel_subscription", b"{}", stream="BILLING_COMMANDS"
        )
        assert acknowledgement.stream == "BILLING_COMMANDS"

        inbox = caller.new_inbox()
        answers = await caller.subscribe(inbox)
        await caller.publish("billing.requests.subscriptions.get_catalog", b"{}", reply=inbox)
        await answering.client.publish((await requests.next_msg(2)).reply, b"answer")
        assert (await answers.next_msg(2)).data == b"answer"
    await caller.close()


async def test_a_service_takes_its_commands_and_acknowledges_them(server: NatsServer) -> None:
    sender = await plain_connection(server, "client")
    await sender.jetstream().publish("billing.commands.subscriptions.open_portal", b"mine")
    await sender.jetstream().publish("billing.commands.webhooks.replay", b"another's")
    async with acting_as(server, "subscriptions") as service:
        pull = await service.client.jetstream().pull_subscribe(
            "", durable="subscriptions-commands", stream="BILLING_COMMANDS"
        )
        (message,) = await pull.fetch(10, timeout=1)
        assert message.data == b"mine"
        await message.ack_sync()
        info = await pull.consumer_info()
        assert (info.num_ack_pending, info.num_pending) == (0, 0)
    await sender.close()


@pytest.mark.parametrize("user", ["client", "monitor"])
async def test_readers_follow_the_feed_in_every_way(server: NatsServer, user: str) -> None:
    async with acting_as(server, "subscriptions_relay") as service:
        await service.client.jetstream().publish("billing.change_feed.customer.user_7.createdV1", b"event")
    reader = await plain_connection(server, user)
    jetstream = reader.jetstream()
    everything = "billing.change_feed.>"

    ephemeral = await jetstream.pull_subscribe(everything, stream="BILLING_CHANGE_FEED")
    durable = await jetstream.pull_subscribe(everything, durable=f"{user}-crm", stream="BILLING_CHANGE_FEED")
    for pull in (ephemeral, durable):
        (message,) = await pull.fetch(1, timeout=2)
        assert message.data == b"event"
        await message.ack_sync()
    pushed = await jetstream.subscribe(everything, stream="BILLING_CHANGE_FEED", ordered_consumer=True)
    assert (await pushed.next_msg(2)).data == b"event"
    found = await jetstream.subscribe(everything)  # the stream looked up by its subject
    assert (await found.next_msg(2)).data == b"event"
    subject = "billing.change_feed.customer.user_7.createdV1"
    last = await jetstream.get_last_msg("BILLING_CHANGE_FEED", subject, direct=True)
    assert last.data == b"event"
    await reader.close()


@pytest.mark.parametrize("user", ["client", "monitor"])
async def test_readers_get_and_watch_the_buckets(server: NatsServer, user: str) -> None:
    async with acting_as(server, "subscriptions_relay") as service:
        await service.client.jetstream().publish("$KV.billing_entitlements.user_7.products", b"ten")
    reader = await plain_connection(server, user)
    bucket = await reader.jetstream().key_value("billing_entitlements")
    assert await eventually(lambda: bucket.get("user_7.products")), "the readers' copy follows at once"
    watcher = await bucket.watch("user_7.*")
    entry = await watcher.updates(timeout=2)  # type: ignore[no-untyped-call]
    assert entry.key == "user_7.products"
    await watcher.stop()  # type: ignore[no-untyped-call]
    hasty = await reader.jetstream(timeout=1).key_value("billing_entitlements")
    with pytest.raises(NatsTimeout):
        await hasty.put("user_7.products", b"a million")
    assert (await bucket.get("user_7.products")).value == b"ten"
    await reader.close()


async def test_monitor_sees_how_streams_and_consumers_are_doing(server: NatsServer) -> None:
    monitor = await plain_connection(server, "monitor")
    jetstream = monitor.jetstream()
    assert {stream.config.name for stream in await jetstream.streams_info()} >= {"BILLING_COMMANDS"}
    assert (await jetstream.consumer_info("BILLING_COMMANDS", "webhooks-commands")).num_pending == 0
    await monitor.close()


async def test_a_service_sees_its_bucket_and_its_consumers(server: NatsServer) -> None:
    async with acting_as(server, "subscriptions_relay") as relay:
        await relay.client.jetstream().publish("$KV.billing_entitlements.user_7.products", b"ten")
    async with acting_as(server, "subscriptions") as service:
        jetstream = service.client.jetstream()
        bucket = await jetstream.key_value("billing_entitlements")
        assert (await bucket.get("user_7.products")).value == b"ten"
        assert (await jetstream.consumer_info("BILLING_TICKS", "subscriptions-ticks")).num_pending == 0


async def test_the_ingress_knows_that_its_webhook_is_stored(server: NatsServer) -> None:
    ingress = await plain_connection(server, "ingress")
    acknowledgement = await ingress.jetstream().publish(WEBHOOK_SUBJECT, b"{}")
    assert acknowledgement.stream == "BILLING_WEBHOOKS"
    await ingress.close()


async def test_the_clock_knows_that_its_tick_is_stored(server: NatsServer) -> None:
    clock = await plain_connection(server, "clock")
    acknowledgement = await clock.jetstream().publish(
        "billing.ticks.webhooks.reconcile", b'{"at": "2026-02-01T00:00:00Z"}'
    )
    assert acknowledgement.stream == "BILLING_TICKS"
    await clock.close()


async def test_a_reader_cannot_change_how_a_service_follows_the_feed(server: NatsServer) -> None:
    """A right to create consumers covers all of a stream, so services follow a stream of their own."""
    for user in ("client", "monitor"):
        async with acting_as(server, user) as actor:
            for name in ("CREATE", "DURABLE.CREATE", "DELETE", "MSG.NEXT"):
                subject = f"$JS.API.CONSUMER.{name}.BILLING_SERVICE_FEED"
                assert not await actor.may_publish(subject), name
                assert not await actor.may_publish(f"{subject}.seats-feed"), name
    async with acting_as(server, "seats") as seats:
        assert await seats.may_publish("$JS.API.CONSUMER.MSG.NEXT.BILLING_SERVICE_FEED.seats-feed")
