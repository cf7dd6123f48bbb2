"""The service client: answers, rejections and timeouts."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from shared.errors import Rejected, Unavailable
from shared.messaging.service_client import ServiceClient
from shared.settings import CommonSettings
from tallystick.messages.subscriptions import ChangeHeldQuantity, PreviewChange
from tests.support.servers import NatsServer

COMMAND = ChangeHeldQuantity(
    command_id="a", subscription_id="sub_1", quantity=5, when="now", proration="prorate"
)
QUESTION = PreviewChange(subscription_id="sub_1", quantity=5)
LINE = {
    "description": "Two seats",
    "amount": 2000,
    "quantity": 2,
    "price": "team_monthly",
    "period": {"start": "2026-01-01T00:00:00Z", "end": "2026-02-01T00:00:00Z"},
    "proration": True,
}
MONEY = {"amount": 0, "currency": "eur"}
PREVIEW = {"due_now": MONEY, "next_invoice": MONEY, "lines": [LINE]}
Answering = Callable[[dict[str, object]], Awaitable[list[Msg]]]


@pytest.fixture
async def asking(nats_session: NatsServer) -> AsyncIterator[ServiceClient]:
    """The service that asks, with its own rights."""
    asking = ServiceClient(CommonSettings(nats_url=nats_session.users["seats"]), "seats")
    yield asking
    await asking.close()


@pytest.fixture
async def subscriptions(nats_session: NatsServer) -> AsyncIterator[Client]:
    """A connection of the administrator, in place of the service that is asked."""
    connection = await nats.connect(nats_session.url, inbox_prefix="_INBOX_admin")
    yield connection
    await connection.close()


async def answering(connection: Client, name: str, outcome: object) -> list[Msg]:
    """Answer every request with this; returns the list of requests."""
    asked: list[Msg] = []

    async def answer(message: Msg) -> None:
        asked.append(message)
        await message.respond(json.dumps(outcome).encode())

    await connection.subscribe(f"billing.requests.subscriptions.{name}", cb=answer)
    await connection.flush()
    return asked


async def test_an_answer_is_typed(asking: ServiceClient, subscriptions: Client) -> None:
    outcome = {"status": "succeeded", "result": PREVIEW}
    asked = await answering(subscriptions, "preview_change", outcome)
    found = await asking.ask(QUESTION)
    assert found.lines[0].description == "Two seats"
    assert json.loads(asked[0].data) == {"subscription_id": "sub_1", "quantity": 5}


async def test_a_refusal_keeps_its_code_and_its_details(asking: ServiceClient, subscriptions: Client) -> None:
    error = {"code": "seats_in_use", "message": "No.", "details": {"occupied": 7}}
    outcome = {"command_id": "a", "status": "rejected", "error": error}
    await answering(subscriptions, "change_held_quantity", outcome)
    with pytest.raises(Rejected) as refusal:
        await asking.ask(COMMAND)
    assert (refusal.value.error.code, refusal.value.error.details) == ("seats_in_use", {"occupied": 7})


@pytest.mark.parametrize(
    "outcome",
    [{"status": "failed", "error": {"code": "unavailable"}}, {"status": "what?"}, [], "nonsense"],
)
async def test_who_cannot_say_is_unavailable(
    asking: ServiceClient, subscriptions: Client, outcome: object
) -> None:
    await answering(subscriptions, "preview_change", outcome)
    with pytest.raises(Unavailable):
        await asking.ask(QUESTION)


async def test_no_responder_and_no_reply_both_mean_unavailable(
    asking: ServiceClient, subscriptions: Client
) -> None:
    with pytest.raises(Unavailable):
        await asking.ask(QUESTION)

    async def say_nothing(_: Msg) -> None:
        return

    await subscriptions.subscribe("billing.requests.subscriptions.preview_change", cb=say_nothing)
    await subscriptions.flush()
    with pytest.raises(Unavailable):
        await asking.ask(QUESTION, timeout_seconds=0.2)


async def test_nobody_to_connect_to_is_unavailable() -> None:
    asking = ServiceClient(CommonSettings(nats_url="nats://127.0.0.1:1"), "seats")
    with pytest.raises(Unavailable):
        await asking.ask(QUESTION, timeout_seconds=0.2)
    await asking.close()


async def test_an_answer_in_another_form_is_unavailable(asking: ServiceClient, subscriptions: Client) -> None:
    await answering(subscriptions, "preview_change", {"status": "succeeded", "result": {"lines": []}})
    with pytest.raises(Unavailable):
        await asking.ask(QUESTION)
