"""Payment links: for somebody known and for strangers, twice, deactivated, and with limited uses."""

import json
import random
from typing import Any

import httpx
import pytest

from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer
from tallystick.subjects import COMMANDS_STREAM
from tests.support.worlds.subscriptions import ACME, World, gapless

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

CARD = "4242424242424242"


async def link(world: World, price: str = "solo_monthly", **fields: Any) -> dict[str, Any]:
    """Create a payment link."""
    command = m.CreatePaymentLink(command_id=world.command_id(), items=[m.ItemToBuy(price=price)], **fields)
    found: dict[str, Any] = (await world.does(command))["payment_link"]
    return found


async def opens(made: dict[str, Any], query: str = "") -> str:
    """Visit a link and return the address of its checkout page."""
    async with httpx.AsyncClient() as browser:
        answer = await browser.get(made["url"] + query)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


async def pays(page: str, email: str = "eve@example.com") -> int:
    """Pay on a checkout page; return the status of the answer."""
    async with httpx.AsyncClient() as browser:
        return (await browser.post(page, data={"card_number": CARD, "email": email})).status_code


async def buys(world: World, made: dict[str, Any], email: str = "eve@example.com", query: str = "") -> None:
    """Pay through a link, and apply what Stripe tells of it."""
    assert await pays(await opens(made, query), email) == 303
    await settles(world)


async def settles(world: World) -> None:
    """Apply the events of Stripe and the commands that the service sends to itself, until none is left."""
    handled: set[str] = set()
    for _ in range(5):
        await world.hears(*await replayed(world, handled))
        await world.catches_up()
        queued = [
            (row["subject"].rpartition(".")[2], row["payload"])
            for row in await world.bound.outbox(COMMANDS_STREAM)
            if row["subject"].endswith((".refund_invoice", ".cancel_subscription"))
        ]
        for name, body in queued:
            assert (await world.bound.handle_body(name, body)).status == "succeeded"


async def replayed(world: World, handled: set[str]) -> list[dict[str, Any]]:
    """The events that the service has had replayed, because their customer was not known."""
    ids = [
        event_id
        for row in await world.bound.outbox(COMMANDS_STREAM)
        if row["subject"].endswith(".webhooks.replay") and row["payload"].decode() not in handled
        for event_id in json.loads(row["payload"])["event_ids"]
    ]
    handled.update(
        row["payload"].decode()
        for row in await world.bound.outbox(COMMANDS_STREAM)
        if row["subject"].endswith(".webhooks.replay")
    )
    return [event for event in world.stripe_events() if event["id"] in ids]


async def uses(world: World) -> list[tuple[str, str, str | None]]:
    """Who paid, what became of it and why, oldest first."""
    page = await world.asks(m.ListPaymentLinkUses())
    return [
        (Customer.model_validate(use["customer"]).token, use["outcome"], use["reason"])
        for use in reversed(page["items"])
    ]


async def plans(world: World, token: str) -> list[tuple[str, str]]:
    """The plans of a customer with their status, oldest first."""
    page = await world.asks(m.ListSubscriptions(customer=Customer.from_token(token)))
    return [(found["items"][0]["product"], found["status"]) for found in reversed(page["items"])]


async def test_a_stranger_becomes_a_customer_with_the_plan(shop: World) -> None:
    made = await link(shop, after_url="https://shop.example/thanks", metadata={"campaign": "fair"})
    assert (made["status"], made["uses"], made["items"]) == (
        "active",
        0,
        [{"price": "solo_monthly", "quantity": 1}],
    )
    await buys(shop, made)
    [(token, outcome, reason)] = await uses(shop)
    assert token.startswith("user_") and (outcome, reason) == ("accepted", None)
    customer = (await shop.asks(m.GetCustomer(customer=Customer.from_token(token))))["customer"]
    assert (customer["email"], customer["stripe_customer_id"] is not None) == ("eve@example.com", True)
    assert await plans(shop, token) == [("solo", "active")]
    told = await shop.told("payment_link")
    assert [name for name, _ in told] == ["createdV1", "usedV1"]
    assert gapless(told, "payment_link", "payment_link_id")
    assert told[-1][1]["use"]["customer"]["id"] == token.removeprefix("user_")
    assert (await shop.asks(m.ListPaymentLinks(status="active")))["items"][0]["uses"] == 1
    invoices = (await shop.asks(m.ListInvoices(customer=Customer.from_token(token))))["items"]
    assert [(invoice["status"], invoice["amount_refunded"]) for invoice in invoices] == [("paid", 0)]


@pytest.mark.parametrize(
    ("fields", "query", "token"),
    [
        ({"customer": ACME}, "", "organization_acme"),
        ({}, "?client_reference_id=organization_acme", "organization_acme"),
        ({"metadata": {"customer": "user_7"}}, "", "user_7"),
        ({}, "?client_reference_id=9", "user_9"),
    ],
)
async def test_who_is_named_has_the_plan(
    world: World, fields: dict[str, Any], query: str, token: str
) -> None:
    await buys(world, await link(world, **fields), query=query)
    assert [use[:2] for use in await uses(world)] == [(token, "accepted")]
    assert await plans(world, token) == [("solo", "active")]


@pytest.mark.parametrize("query", ["", "?client_reference_id=user_7"])
async def test_the_second_payment_for_one_plan_is_refunded_and_canceled(shop: World, query: str) -> None:
    made = await link(shop)
    await buys(shop, made, query=query)
    await buys(shop, made, "EVE@example.com", query=query)
    (token, *_), second = await uses(shop)
    assert second == (token, "refunded", "already_subscribed")
    assert sorted(await plans(shop, token)) == [("solo", "active"), ("solo", "canceled")]
    invoices = (await shop.asks(m.ListInvoices(customer=Customer.from_token(token))))["items"]
    assert [invoice["amount_refunded"] for invoice in invoices] == [4900, 0]
    in_stripe = shop.stripe.v1.subscriptions.list({"status": "all"}).data
    assert sorted(found.status for found in in_stripe) == ["active", "canceled"]
    assert shop.stripe.v1.refunds.list().data[0].amount == 4900
    assert (await shop.asks(m.ListPaymentLinks()))["items"][0]["uses"] == 1
    [_, _, (name, body)] = await shop.told("payment_link")
    assert (name, body["use"]["outcome"]) == ("usedV1", "refunded")


@pytest.mark.parametrize("seed", range(3))
async def test_events_in_any_order_and_twice_are_one_use(shop: World, seed: int) -> None:
    made = await link(shop)
    assert await pays(await opens(made)) == 303
    events = shop.new_events() * 2
    random.Random(seed).shuffle(events)
    await shop.hears(*events)
    await settles(shop)
    [(token, outcome, _)] = await uses(shop)
    assert (outcome, await plans(shop, token)) == ("accepted", [("solo", "active")])


async def test_a_customer_who_has_the_plan_is_paid_back(world: World) -> None:
    await world.buys("solo_monthly")
    await world.catches_up()
    await buys(world, await link(world, customer=ACME))
    assert await uses(world) == [("organization_acme", "refunded", "already_subscribed")]
    assert sorted(await plans(world, "organization_acme")) == [("solo", "active"), ("solo", "canceled")]


async def test_another_plan_by_a_known_person_is_theirs_too(shop: World) -> None:
    await buys(shop, await link(shop))
    await buys(shop, await link(shop, "team_yearly"))
    (token, *_), second = await uses(shop)
    assert second == (token, "accepted", None)
    assert sorted(await plans(shop, token)) == [("solo", "active"), ("team", "active")]


async def test_an_open_page_of_a_deactivated_link_cannot_be_paid(shop: World) -> None:
    made = await link(shop)
    page = await opens(made)
    off = m.DeactivatePaymentLink(command_id=shop.command_id(), payment_link_id=made["payment_link_id"])
    assert (await shop.does(off))["payment_link"]["status"] == "deactivated"
    assert await pays(page) == 410
    again = m.DeactivatePaymentLink(command_id=shop.command_id(), payment_link_id=made["payment_link_id"])
    assert (await shop.does(again))["payment_link"]["version"] == 2
    assert await shop.names("payment_link") == ["createdV1", "deactivatedV1"]
    unknown = m.DeactivatePaymentLink(command_id=shop.command_id(), payment_link_id="plink_x")
    assert (await shop.refuses(unknown))[0] == "not_found"


async def test_limited_uses_are_not_exceeded(shop: World) -> None:
    made = await link(shop, uses=1)
    first, second = await opens(made), await opens(made)
    assert await pays(first, "eve@example.com") == 303
    assert await pays(second, "bob@example.com") == 410
    await settles(shop)
    [found] = (await shop.asks(m.ListPaymentLinks()))["items"]
    assert (found["uses"], found["uses_max"], found["status"]) == (1, 1, "deactivated")
    assert await shop.names("payment_link") == ["createdV1", "usedV1", "deactivatedV1"]


async def test_a_use_that_slips_through_is_given_back(shop: World) -> None:
    made = await link(shop, uses=1)
    first, second = await opens(made), await opens(made)
    assert await pays(first, "eve@example.com") == 303
    # Stripe lets another one through, as it may with two payments at the same moment.
    shop.stripe.v1.payment_links.update(made["stripe_payment_link_id"], {"active": True})
    assert await pays(second, "bob@example.com") == 303
    await settles(shop)
    assert [use[1:] for use in await uses(shop)] == [("accepted", None), ("refunded", "uses_exceeded")]
    assert shop.stripe.v1.refunds.list().data[0].amount == 4900


async def test_what_is_not_sold_has_no_link(shop: World) -> None:
    unknown = m.CreatePaymentLink(command_id=shop.command_id(), items=[m.ItemToBuy(price="nothing")])
    assert (await shop.refuses(unknown))[0] == "unknown_price"
    many = m.CreatePaymentLink(
        command_id=shop.command_id(), items=[m.ItemToBuy(price="solo_monthly", quantity=2)]
    )
    assert (await shop.refuses(many))[0] == "quantity_out_of_range"
