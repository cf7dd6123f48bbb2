"""Commands by request and through the queue: outcomes, rejections and reply subjects."""

import asyncio
import json
from functools import partial
from typing import Any

import nats
import pytest

from tallystick.messages import subscriptions as m
from tallystick.messages.base import Command
from tests.support.shop import Shop, fresh_id
from tests.support.shop_steps import WAYS, outcomes, sent, subscribe_for_free
from tests.support.waiting import eventually


async def test_a_queued_command_sends_its_outcome_where_it_is_asked_to(shop: Shop) -> None:
    command = m.RegisterCustomer(command_id=fresh_id("r"), customer=shop.acme, email="pay@acme.example")
    async with outcomes(shop) as (inbox, arrived):
        await shop.billing.send(command, reply_to=inbox)
        await eventually(lambda: len(arrived) == 1)
        await shop.billing.send(command, reply_to=inbox)
        await eventually(lambda: len(arrived) == 2)
        assert arrived[0] == arrived[1]
        assert (arrived[0]["status"], arrived[0]["command_id"]) == ("succeeded", command.command_id)
        # The other way in gives the same.
        assert (await shop.billing.outcome(command)).model_dump(exclude_none=True) == arrived[0]
        refusal = subscribe_for_free(shop, "no_such_price")
        await shop.billing.send(refusal, reply_to=inbox)
        await eventually(lambda: len(arrived) == 3)
        assert (arrived[2]["status"], arrived[2]["error"]["code"]) == ("rejected", "unknown_price")


async def test_many_queued_at_once_are_each_carried_out_once(shop: Shop) -> None:
    # 50 customers, each queued twice: 50 registered, with one event each.
    customers = [shop.acme.model_copy(update={"id": f"{shop.acme.id}-{n}"}) for n in range(50)]
    commands: list[Command[Any]] = [
        m.RegisterCustomer(command_id=fresh_id("r"), customer=customer, email="many@acme.example")
        for customer in customers
    ]
    await shop.billing.send_many(commands)
    await shop.billing.send_many(commands)

    async def registered(customer: Any) -> bool:
        return (await shop.billing.answer(m.GetCustomer(customer=customer))).status == "succeeded"

    async def all_registered() -> bool:
        return all(await asyncio.gather(*(registered(customer) for customer in customers)))

    await eventually(all_registered)
    for customer in customers[:5]:
        found = (await shop.billing.ask(m.GetCustomer(customer=customer))).customer
        assert found.version == 1


@pytest.mark.parametrize("way", WAYS)
async def test_the_same_id_with_other_content_is_a_conflict(shop: Shop, way: str) -> None:
    fields = {"command_id": fresh_id("r"), "customer": shop.acme.model_dump(), "email": "one@acme.example"}
    first = await sent(shop, way, "register_customer", json.dumps(fields).encode())
    assert first["status"] == "succeeded"
    other = json.dumps(fields | {"email": "two@acme.example"}).encode()
    for body in (other, other):
        refused = await sent(shop, way, "register_customer", body)
        assert refused["status"] == "rejected"
        assert refused["command_id"] == fields["command_id"]
        assert refused["error"]["code"] == "idempotency_conflict"
    # Neither the requester nor the order of the fields is part of the content.
    same = json.dumps({"requested_by": "somebody", **dict(reversed(fields.items()))}).encode()
    assert await sent(shop, way, "register_customer", same) == first
    # The same id for another kind of command is another command.
    free = json.dumps(
        {"command_id": fields["command_id"], "customer": fields["customer"], "items": [{"price": "x"}]}
    )
    conflict = await sent(shop, way, "create_subscription", free.encode())
    assert conflict["error"]["code"] == "idempotency_conflict"


@pytest.mark.parametrize("way", WAYS)
async def test_an_invalid_message_names_each_wrong_field(shop: Shop, way: str) -> None:
    body = {"command_id": "c-1", "customer": {"type": "robot", "id": "a b"}, "emial": "x@acme.example"}
    refused = await sent(shop, way, "register_customer", json.dumps(body).encode())
    assert (refused["status"], refused["command_id"]) == ("rejected", "c-1")
    assert refused["error"]["code"] == "invalid_message"
    fields = {problem["field"] for problem in refused["error"]["details"]["fields"]}
    assert fields == {"customer.type", "customer.id", "email", "emial"}
    unreadable = await sent(shop, way, "register_customer", b"{not json")
    assert unreadable["error"]["code"] == "invalid_message"
    assert "command_id" not in unreadable


async def test_a_rejection_is_final(shop: Shop) -> None:
    # Rejected because the customer was unknown; the same command is still rejected afterwards.
    command = subscribe_for_free(shop)
    assert (await shop.refused(command))[0] == "not_found"
    await shop.register()
    assert (await shop.refused(command))[0] == "not_found"
    again = subscribe_for_free(shop)
    assert (await shop.billing.call(again)).subscription.status == "active"


async def test_an_outcome_is_never_published_as_somebody_elses_message(shop: Shop) -> None:
    # A reply subject on the feed would forge an event: it is refused, and the command carried out.
    forged = f"billing.change_feed.customer.{shop.acme.token}.forgedV1"
    command = m.RegisterCustomer(command_id=fresh_id("r"), customer=shop.acme, email="pay@acme.example")
    async with shop.feed() as told:
        await shop.billing.connection.nats.publish(
            "billing.commands.subscriptions.register_customer",
            command.model_dump_json(exclude_unset=True).encode(),
            headers={"Billing-Reply-To": forged},
        )
        await eventually(lambda: told.names("customer") == ["created"])
        await shop.register(name="Acme")
        await eventually(lambda: len(told.events) == 2)
        assert told.names("customer") == ["created", "updated"]


async def test_what_nobody_handles_becomes_a_dead_letter(shop: Shop) -> None:
    # An unknown command, and a question through the queue; a request has no responder at once.
    connection = shop.billing.connection.nats
    mark = fresh_id("dead").encode()
    for name in ("no_such_command", "get_customer"):
        await connection.request(f"billing.commands.subscriptions.{name}", mark, timeout=10)
        await eventually(partial(_buried, shop, name, mark))
    with pytest.raises(nats.errors.NoRespondersError):
        await connection.request("billing.requests.subscriptions.no_such_command", b"{}")


async def _buried(shop: Shop, handler: str, body: bytes) -> bool:
    admin = await nats.connect(shop.system.stack.nats.users["admin"])
    try:
        subject = f"billing.dead_letters.subscriptions.{handler}"
        found = await admin.jetstream().get_last_msg("BILLING_DEAD_LETTERS", subject)
        return found.data == body
    finally:
        await admin.close()
