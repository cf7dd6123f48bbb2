"""Concurrent commands, and commands while Stripe is unavailable: each has one effect."""

import asyncio
import json

from tallystick.messages import subscriptions as m
from tests.support.shop import GOOD_CARD, Shop
from tests.support.shop_steps import subscribe_for_free
from tests.support.waiting import eventually


async def test_five_checkouts_at_once_open_one_page(shop: Shop) -> None:
    registered = await shop.register()
    outcomes = await asyncio.gather(
        *(shop.billing.outcome(shop.checkout("essential_monthly")) for _ in range(5))
    )
    assert sorted(outcome.status for outcome in outcomes) == ["rejected"] * 4 + ["succeeded"]
    assert {outcome.error.code for outcome in outcomes if outcome.error} == {"already_subscribed"}
    open_pages = shop.stripe.v1.checkout.sessions.list({"customer": str(registered.stripe_customer_id)})
    assert len(open_pages.data) == 1


async def test_one_command_twenty_times_at_once_is_carried_out_once(shop: Shop) -> None:
    # Half by request, half through the queue.
    async with shop.feed() as told:
        await shop.register()
        command = subscribe_for_free(shop)
        outcomes, _ = await asyncio.gather(
            asyncio.gather(*(shop.billing.outcome(command) for _ in range(10))),
            asyncio.gather(*(shop.billing.send(command) for _ in range(10))),
        )
        assert all(outcome == outcomes[0] for outcome in outcomes)
        assert outcomes[0].status == "succeeded"
        page = await shop.billing.ask(m.ListSubscriptions(customer=shop.acme))
        assert len(page.items) == 1
        await shop.cancel(page.items[0].subscription_id)
        await shop.becomes("canceled")
        await eventually(lambda: "canceled" in told.names("subscription"))
    assert told.names("subscription").count("created") == 1


async def test_while_stripe_is_away_nothing_is_lost_or_done_twice(shop: Shop) -> None:
    # A customer pays, Stripe goes away, another purchase is unavailable; then Stripe is back.
    registered = await shop.register()
    await shop.all_applied()
    stack = shop.system.stack
    command = shop.checkout("essential_monthly")
    stack.kill("stripe")
    reply = await shop.billing.connection.nats.request(
        "billing.requests.subscriptions.start_checkout",
        command.model_dump_json(exclude_unset=True).encode(),
        timeout=20,
    )
    failed = json.loads(reply.data)
    assert (failed["status"], failed["error"]["code"]) == ("failed", "unavailable")
    assert failed["command_id"] == command.command_id
    # What does not need Stripe goes on.
    free = (await shop.billing.call(subscribe_for_free(shop))).subscription
    assert free.status == "active"
    stack.restart("stripe")
    started = await shop.billing.call(command)
    pages = shop.stripe.v1.checkout.sessions.list({"customer": str(registered.stripe_customer_id)})
    assert [page.url for page in pages.data] == [started.checkout_url]
    assert (await shop.page(started.checkout_url, card_number=GOOD_CARD)).status_code == 303
    await shop.all_applied()
    found = await shop.subscription()
    assert (found.items[0].product, found.status) == ("essential", "active")
