"""The change feed: delivery, saved positions, gap checks and restarts."""

import asyncio
import json
from dataclasses import dataclass

import nats
import pytest
from nats.aio.client import Client as NatsClient
from nats.js import api

import tallystick
from tallystick.client.feed import ACK_WAIT_SECONDS
from tallystick.client.feed_events import FeedEvent
from tallystick.messages.subscriptions import SubscriptionEvent
from tests.support import waiting
from tests.support.client import OwnNats, emit, eventually, subscription_event
from tests.support.servers import NatsServer, described


async def take(feed: tallystick.Feed, count: int) -> list[FeedEvent]:
    """The next events, each handled."""
    events = []
    for _ in range(count):
        events.append(await asyncio.wait_for(anext(feed), 10))
        await feed.handled()
    return events


@dataclass(slots=True)
class Clock:
    """A clock that stands still unless it is moved."""

    seconds: float = 1.0

    def __call__(self) -> float:
        return self.seconds


def versions(events: list[FeedEvent]) -> list[int]:
    return [event.version for event in events]


async def test_an_event_arrives_parsed_with_its_place(client: tallystick.Client, admin: NatsClient) -> None:
    async with client.events() as feed:
        await emit(admin, subscription_event(1, new_field="ignored"), event="createdV1")
        [event] = await take(feed, 1)
    assert (event.entity, event.customer, event.event) == ("subscription", "organization_acme", "created")
    assert event.sequence == 1
    assert event.entity_key == "subscription/sub_1"
    assert event.body["new_field"] == "ignored"
    assert isinstance(event.model, SubscriptionEvent)
    assert event.model.subscription.status == "active"


async def test_an_unknown_entity_arrives_without_a_model(
    client: tallystick.Client, admin: NatsClient
) -> None:
    async with client.events() as feed:
        await emit(admin, {"version": 1, "licence": {"licence_id": "lic_1"}}, entity="licence")
        [event] = await take(feed, 1)
    assert event.model is None
    assert event.entity_key == "licence/lic_1"


async def test_what_is_not_an_event_does_not_stop_the_feed(
    client: tallystick.Client, admin: NatsClient
) -> None:
    async with client.events() as feed:
        for body in (b"not json", b"[]", b'{"version": "1"}'):
            await admin.jetstream().publish("billing.change_feed.seat.user_7.assignedV1", body, timeout=5)
        await emit(admin, subscription_event(1))
        assert versions(await take(feed, 1)) == [1]


async def test_filters_leave_out_the_rest(client: tallystick.Client, admin: NatsClient) -> None:
    body = subscription_event(1)
    await emit(admin, body, customer="user_7")
    await emit(admin, body, entity="invoice")
    await emit(admin, body, event="createdV1")
    await emit(admin, body, event="canceledV1")
    by_customer = client.events(customer="user_7", start="all")
    by_entity = client.events(entity="invoice", start="all")
    by_event = client.events(event="canceled", start="all")
    assert [event.customer for event in await take(by_customer, 1)] == ["user_7"]
    assert [event.entity for event in await take(by_entity, 1)] == ["invoice"]
    assert [event.event for event in await take(by_event, 1)] == ["canceled"]
    assert (by_customer.pending, by_entity.pending, by_event.pending) == (0, 0, 0)


async def test_the_start_is_where_it_was_asked_for(client: tallystick.Client, admin: NatsClient) -> None:
    await emit(admin, *(subscription_event(version) for version in (1, 2, 3)))
    assert versions(await take(client.events(start="all"), 3)) == [1, 2, 3]
    assert versions(await take(client.events(start=2), 2)) == [2, 3]
    stored = await admin.jetstream().get_msg("BILLING_CHANGE_FEED", seq=3)
    assert stored.time is not None
    assert versions(await take(client.events(start=stored.time), 1)) == [3]


async def test_an_event_is_handled_when_the_loop_asks_for_the_next(
    client: tallystick.Client, admin: NatsClient
) -> None:
    await emit(admin, *(subscription_event(version) for version in (1, 2, 3)))

    async def fail_on_the_second() -> None:
        async with client.events(durable="crm", start="all") as feed:
            async for event in feed:
                if event.version == 2:
                    raise RuntimeError("on the second")

    with pytest.raises(RuntimeError, match="on the second"):
        await fail_on_the_second()
    async with client.events(durable="crm") as feed:
        assert versions(await take(feed, 2)) == [2, 3]


async def test_leaving_the_block_in_peace_handles_the_last_event(
    client: tallystick.Client, admin: NatsClient
) -> None:
    await emit(admin, *(subscription_event(version) for version in (1, 2)))
    async with client.events(durable="crm", start="all") as feed:
        async for _ in feed:
            break
    async with client.events(durable="crm") as feed:
        assert versions(await take(feed, 1)) == [2]


async def test_a_durable_name_is_not_bent_to_another_filter(client: tallystick.Client) -> None:
    async with client.events(durable="crm", entity="seat"):
        pass
    with pytest.raises(tallystick.ConsumerMismatch, match=r"reads billing\.change_feed\.seat\.\*\.\*, not"):
        await client.events(durable="crm", entity="invoice").open()


async def test_a_gap_is_flagged_and_what_fills_it_is_late(
    client: tallystick.Client, admin: NatsClient
) -> None:
    await emit(admin, *(subscription_event(version) for version in (1, 2, 5, 5, 3, 2, 6)))
    events = await take(client.events(start="all"), 5)
    assert versions(events) == [1, 2, 5, 3, 6]
    gap = events[2].gap
    assert gap is not None
    assert list(gap.missing) == [3, 4]
    assert [event.gap is not None for event in events] == [False, False, True, False, False]
    assert [event.late for event in events] == [False, False, False, True, False]


async def test_repeated_events_are_shown_where_they_are_wanted(
    client: tallystick.Client, admin: NatsClient
) -> None:
    await emit(admin, *(subscription_event(version) for version in (1, 2, 2)))
    events = await take(client.events(start="all", repeated="yield"), 3)
    assert [(event.version, event.late) for event in events] == [(1, False), (2, False), (2, True)]


async def test_a_gap_ends_the_feed_where_that_was_asked_for(
    client: tallystick.Client, admin: NatsClient
) -> None:
    await emit(admin, *(subscription_event(version) for version in (1, 3)))
    feed = client.events(start="all", durable="strict", on_gap="raise")
    assert versions(await take(feed, 1)) == [1]
    with pytest.raises(tallystick.FeedGap, match="jumps from version 1 to 3 of subscription/sub_1"):
        await anext(feed)
    async with client.events(durable="strict") as again:
        assert versions(await take(again, 1)) == [3]


async def test_entities_are_counted_apart_and_known_versions_carry_on(
    client: tallystick.Client, admin: NatsClient
) -> None:
    await emit(admin, subscription_event(7, "sub_1"), subscription_event(2, "sub_2"))
    feed = client.events(start="all", known_versions={"subscription/sub_1": 5, "subscription/sub_2": 1})
    first, second = await take(feed, 2)
    assert first.gap is not None
    assert list(first.gap.missing) == [6]
    assert second.gap is None


async def test_gaps_are_natural_where_events_are_chosen_by_name(
    client: tallystick.Client, admin: NatsClient
) -> None:
    await emit(admin, subscription_event(1), event="canceledV1")
    await emit(admin, subscription_event(5), event="canceledV1")
    events = await take(client.events(event="canceled", start="all"), 2)
    assert [event.gap for event in events] == [None, None]


async def test_slowly_consumed_events_are_returned_before_they_expire(
    client: tallystick.Client, admin: NatsClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("tallystick.client.feed.monotonic", clock)
    await emit(admin, *(subscription_event(version) for version in range(1, 6)))
    async with client.events(durable="slow", start="all", repeated="yield") as feed:
        seen = []
        async for event in feed:
            seen.append(event.version)
            if len(seen) == 5:
                break
            # The work an event makes here takes most of the time until it would be sent again.
            clock.seconds += ACK_WAIT_SECONDS * 0.6
    assert seen == [1, 2, 3, 4, 5]

    async def settled() -> api.ConsumerInfo | None:
        jetstream = client.connection.jetstream()
        info: api.ConsumerInfo = await jetstream.consumer_info("BILLING_CHANGE_FEED", "slow")
        return None if info.num_ack_pending else info

    # The server takes acknowledgements in on its own time, not before it answers the next question.
    info: api.ConsumerInfo = await waiting.eventually(settled)
    assert info.delivered is not None
    # Sent once, and up to 4, 3, 2 and 1 of them again, because they were given back instead of kept.
    assert 5 < info.delivered.consumer_seq <= 5 + 4 + 3 + 2 + 1


@pytest.mark.parametrize("durable", [None, "crm"])
async def test_nothing_is_missed_over_a_restart_of_the_server(own_nats: OwnNats, durable: str | None) -> None:
    async def tell_anew(version: int) -> None:
        admin = await nats.connect(own_nats.server.url("admin"))
        await emit(admin, subscription_event(version))
        await admin.close()

    await described(own_nats.server).provision()
    async with tallystick.connect(own_nats.server.url("client")) as client:
        feed = await client.events(durable=durable).open()
        own_nats.kill()
        await eventually(lambda: not client.connection.connected, "the connection to be lost")
        own_nats.start()
        await tell_anew(1)
        assert versions(await take(feed, 1)) == [1]
        own_nats.kill()
        own_nats.start()
        await tell_anew(2)
        assert versions(await take(feed, 1)) == [2]


async def test_a_rebuilt_stream_is_read_from_its_beginning(
    client: tallystick.Client, admin: NatsClient, provisioned: NatsServer
) -> None:
    await emit(admin, *(subscription_event(version) for version in (1, 2, 3)))
    feed = client.events(start="all")
    assert versions(await take(feed, 3)) == [1, 2, 3]
    await admin.jetstream().delete_stream("BILLING_CHANGE_FEED")
    await provisioned.provision()
    await emit(admin, *(subscription_event(version) for version in (2, 3, 4)))
    assert versions(await take(feed, 1)) == [4]


async def test_a_body_is_what_was_sent(client: tallystick.Client, admin: NatsClient) -> None:
    sent = subscription_event(1)
    await emit(admin, sent)
    [event] = await take(client.events(start="all"), 1)
    assert json.loads(json.dumps(event.body)) == sent
    assert event.snapshot["status"] == "active"
