"""Commands and questions over request and reply."""

import pytest
from nats.aio.client import Client as NatsClient

import tallystick
from tallystick.messages.base import Customer
from tallystick.messages.subscriptions import CancelSubscription, CheckEntitlement
from tallystick.messages.webhooks import Replay
from tests.support.client import answer
from tests.support.servers import NatsServer

REPLAY = Replay(command_id="replay-1", event_ids=["evt_1"])
DONE = {"command_id": "replay-1", "status": "succeeded", "result": {"replayed": 1}}
UNAVAILABLE = {"command_id": "replay-1", "status": "failed", "error": {"code": "unavailable"}}
CHECK = CheckEntitlement(customer=Customer(type="user", id="7"), feature="exports")


async def test_a_call_returns_the_typed_result(client: tallystick.Client, admin: NatsClient) -> None:
    asked = await answer(admin, "billing.requests.webhooks.replay", DONE)
    result = await client.call(REPLAY)
    assert result.replayed == 1
    assert asked == [{"command_id": "replay-1", "event_ids": ["evt_1"]}]


async def test_a_call_is_retried_with_the_same_id_until_answered(
    client: tallystick.Client, admin: NatsClient
) -> None:
    asked = await answer(admin, "billing.requests.webhooks.replay", UNAVAILABLE, UNAVAILABLE, DONE)
    assert (await client.call(REPLAY)).replayed == 1
    assert [body["command_id"] for body in asked] == ["replay-1"] * 3


async def test_a_call_waits_for_a_service_that_is_being_restarted(
    client: tallystick.Client, admin: NatsClient, provisioned: NatsServer
) -> None:
    with pytest.raises(tallystick.DeadlineExceeded) as nobody:
        await client.call(REPLAY, deadline_seconds=1.5)
    assert nobody.value.attempts > 1
    assert "nobody listens there" in str(nobody.value)
    await answer(admin, "billing.requests.webhooks.replay", DONE)
    assert (await client.call(REPLAY)).replayed == 1


async def test_a_rejection_carries_code_message_and_details(
    client: tallystick.Client, admin: NatsClient
) -> None:
    error = {
        "code": "subscription_ended",
        "message": "It ended in May.",
        "details": {"ended_at": "2026-05-01"},
    }
    await answer(
        admin,
        "billing.requests.subscriptions.cancel_subscription",
        {"command_id": "c-1", "status": "rejected", "error": error},
    )
    command = CancelSubscription(command_id="c-1", subscription_id="sub_1", at="now")
    with pytest.raises(tallystick.CommandRejected) as rejected:
        await client.call(command)
    assert rejected.value.code == "subscription_ended"
    assert rejected.value.details == {"ended_at": "2026-05-01"}
    assert (
        str(rejected.value)
        == "subscriptions.cancel_subscription was rejected: subscription_ended: It ended in May."
    )
    assert (await client.outcome(command)).status == "rejected"


async def test_a_question_is_answered_with_a_typed_result(
    client: tallystick.Client, admin: NatsClient
) -> None:
    result = {"allowed": True, "quantity": 3, "sources": [], "expires_at": "2026-02-01T00:00:00Z"}
    asked = await answer(
        admin, "billing.requests.subscriptions.check_entitlement", {"status": "succeeded", "result": result}
    )
    allowance = await client.ask(CHECK)
    assert allowance.allowed
    assert allowance.quantity == 3
    assert allowance.expires_at is not None
    assert allowance.expires_at.isoformat() == "2026-02-01T00:00:00+00:00"
    assert asked == [{"customer": {"type": "user", "id": "7"}, "feature": "exports"}]


@pytest.mark.parametrize("reply", [b"not json", {"status": "succeeded", "result": {"allowed": "yes"}}])
async def test_a_reply_of_another_form_is_an_error_of_its_own(
    client: tallystick.Client, admin: NatsClient, reply: bytes | dict[str, object]
) -> None:
    await answer(admin, "billing.requests.subscriptions.check_entitlement", reply)
    with pytest.raises(tallystick.UnexpectedReply):
        await client.ask(CHECK)


async def test_the_inbox_of_who_asks_is_not_known_to_the_service(
    client: tallystick.Client, admin: NatsClient
) -> None:
    subscription = await admin.subscribe("billing.requests.webhooks.replay")
    with pytest.raises(tallystick.DeadlineExceeded):
        await client.call(REPLAY, deadline_seconds=0.1)
    request = await subscription.next_msg(timeout=5)
    assert request.reply.startswith("_R_.")


async def test_a_refused_password_is_said_at_once(provisioned: NatsServer) -> None:
    url = provisioned.users["client"].replace("test-client", "wrong")
    with pytest.raises(tallystick.Unreachable, match="refused the user or the password"):
        async with tallystick.connect(url):
            pass


async def test_an_absent_server_is_said_without_the_password() -> None:
    with pytest.raises(tallystick.Unreachable) as unreachable:
        async with tallystick.connect("nats://client:secret@127.0.0.1:1", connect_timeout_seconds=0.5):
            pass
    assert "nats://client@127.0.0.1:1 does not answer" in str(unreachable.value)
    assert "secret" not in str(unreachable.value)


async def test_a_message_too_large_with_headers_is_never_sent(
    client: tallystick.Client,
) -> None:
    large = {"Large": "x" * 1_048_576}
    with pytest.raises(tallystick.TallystickError, match="larger than NATS accepts"):
        await client.outcome(REPLAY, deadline_seconds=2, headers=large)
    assert client.connection.connected
