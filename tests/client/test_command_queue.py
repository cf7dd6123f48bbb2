"""Queued commands: stored once, in order, many at a time."""

import json

import pytest
from nats.aio.client import Client as NatsClient

import tallystick
from tallystick.client import command_queue
from tallystick.messages.webhooks import RecordOutcome, Replay
from tallystick.subjects import Subjects


def replay(number: int, event: str = "evt_1") -> Replay:
    return Replay(command_id=f"replay-{number}", event_ids=[event])


async def queued_ids(admin: NatsClient) -> list[str]:
    """The command ids in the queue, in its order."""
    jetstream = admin.jetstream()
    count = (await jetstream.stream_info("BILLING_COMMANDS")).state.messages
    ids: list[str] = []
    sequence = 0
    while len(ids) < count:
        message = await jetstream.get_msg("BILLING_COMMANDS", seq=sequence + 1, next=True, subject=">")
        assert message.seq is not None
        assert message.data is not None
        sequence = message.seq
        ids.append(json.loads(message.data)["command_id"])
    return ids


async def test_a_command_sent_twice_is_queued_once(client: tallystick.Client, admin: NatsClient) -> None:
    first = await client.send(replay(1))
    second = await client.send(replay(1))
    assert (first.sequence, first.duplicate) == (1, False)
    assert (second.sequence, second.duplicate) == (1, True)
    assert await queued_ids(admin) == ["replay-1"]


async def test_the_same_id_with_other_content_reaches_the_service(
    client: tallystick.Client, admin: NatsClient
) -> None:
    await client.send(replay(1))
    other = await client.send(replay(1, event="evt_2"))
    assert not other.duplicate
    assert await queued_ids(admin) == ["replay-1", "replay-1"]


async def test_whoever_asks_for_the_outcome_again_gets_it_again(
    client: tallystick.Client, admin: NatsClient
) -> None:
    await client.send(replay(1), reply_to="_INBOX.crm")
    await client.send(replay(1), reply_to="_INBOX.crm")
    message = await admin.jetstream().get_msg("BILLING_COMMANDS", seq=2)
    assert message.headers is not None
    assert message.headers["Billing-Reply-To"] == "_INBOX.crm"


async def test_an_outcome_goes_to_inboxes_only(client: tallystick.Client) -> None:
    with pytest.raises(ValueError, match="only be sent to an inbox"):
        await client.send(replay(1), reply_to="billing.change_feed.seat.user_7.assignedV1")


async def test_many_commands_keep_their_order(client: tallystick.Client, admin: NatsClient) -> None:
    queued = await client.send_many(replay(number) for number in range(2_500))
    assert [each.sequence for each in queued] == list(range(1, 2_501))
    assert [each.command_id for each in queued] == [f"replay-{number}" for number in range(2_500)]
    info = await admin.jetstream().stream_info("BILLING_COMMANDS")
    assert info.state.messages == 2_500
    last = await admin.jetstream().get_msg("BILLING_COMMANDS", seq=2_500)
    assert last.data is not None
    assert json.loads(last.data)["command_id"] == "replay-2499"


async def test_one_duplicate_does_not_keep_its_neighbours_out(
    client: tallystick.Client, admin: NatsClient
) -> None:
    await client.send(replay(2))
    queued = await client.send_many([replay(1), replay(2), replay(3)])
    assert [each.duplicate for each in queued] == [False, True, False]
    assert sorted(await queued_ids(admin)) == ["replay-1", "replay-2", "replay-3"]


async def test_no_commands_are_no_work(client: tallystick.Client) -> None:
    assert await client.send_many([]) == []


async def test_a_user_who_may_not_send_is_told_why(client: tallystick.Client) -> None:
    command = RecordOutcome(command_id="r-1", event_id="evt_1", status="applied", attempt=1)
    with pytest.raises(tallystick.DeadlineExceeded, match=r"(?i)permissions violation"):
        await client.send(command, deadline_seconds=0.5)


def test_batches_are_bounded_by_number_and_by_size(monkeypatch: pytest.MonkeyPatch) -> None:
    parcels = [command_queue.pack(replay(number), Subjects(), None, None) for number in range(2_001)]
    assert [len(batch) for batch in command_queue.batches(parcels)] == [1_000, 1_000, 1]
    monkeypatch.setattr(command_queue, "BATCH_MAX_BYTES", 2 * len(parcels[2_000].body))
    assert [len(batch) for batch in command_queue.batches(parcels[1_000:1_005])] == [2, 2, 1]
