"""Subscriptions from their start to their end: free, paid, and created in Stripe."""

from datetime import datetime
from typing import Any

from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer
from tests.support.shop import Shop, TolerantModel, fresh_id
from tests.support.shop_steps import subscribe_for_free
from tests.support.waiting import eventually


async def test_cancelled_at_period_end_everything_stays_until_then(shop: Shop) -> None:
    # Bought for a month, cancelled at once for its end; on the last day all is there, after it nothing.
    clock = await shop.on_a_clock()
    async with shop.feed() as told, shop.mirror() as mirror:
        bought = await shop.buys("essential_monthly")
        await shop.all_applied()
        canceling = await shop.cancel(bought.subscription_id, at="period_end")
        assert (canceling.status, canceling.cancel_at_period_end) == ("active", True)
        assert canceling.canceled_at is not None
        assert canceling.ended_at is None
        products = await shop.allowed("products")
        assert (products.allowed, products.quantity) == (True, 200)
        assert products.expires_at == bought.current_period_end
        again = await shop.cancel(bought.subscription_id, at="period_end")
        assert again.version == canceling.version

        shop.advance(clock, bought.current_period_end)
        ended = await shop.becomes("canceled")
        assert ended.ended_at == bought.current_period_end
        assert not ended.cancel_at_period_end
        await eventually(lambda: len(mirror) == 0)
        await shop.leaves_bucket("products")
        assert not (await shop.allowed("products")).allowed
        for at in ("now", "period_end"):
            code, _ = await shop.refused(_cancel(bought.subscription_id, at))
            assert code == "subscription_ended"
        await shop.all_applied()
        await eventually(lambda: "canceled" in told.names("subscription"))
        assert told.names("subscription").count("cancelScheduled") == 1
        assert told.names("subscription").count("canceled") == 1
        assert told.names("subscription")[-1] == "canceled"
        await eventually(lambda: _taken_away(told) == {"basic_support", "products", "orders", "team_members"})


async def test_cancelled_now_it_ends_at_once(shop: Shop) -> None:
    async with shop.feed() as told:
        await shop.register()
        bought = await shop.buys("essential_monthly")
        command = m.CancelSubscription(
            command_id=fresh_id("cancel"),
            subscription_id=bought.subscription_id,
            at="now",
            reason="too many notches",
        )
        ended = (await shop.billing.call(command)).subscription
        assert (ended.status, ended.cancel_at_period_end) == ("canceled", False)
        assert ended.ended_at is not None
        assert (await shop.billing.call(command)).subscription == ended
        theirs = shop.stripe.v1.subscriptions.retrieve(str(bought.stripe_subscription_id))
        assert theirs.status == "canceled"
        assert theirs.cancellation_details is not None
        assert theirs.cancellation_details.comment == "too many notches"
        await shop.all_applied()
        await eventually(lambda: not told.of("entitlement")[-1].snapshot["allowed"])
        assert told.names("subscription").count("canceled") == 1


async def test_the_life_of_a_free_plan(shop: Shop) -> None:
    # Starter: 10 products, 10 orders a month, 1 team member. Two months go by, then it is let run out.
    async with shop.feed() as told:
        await shop.register()
        begun = (await shop.billing.call(subscribe_for_free(shop))).subscription
        assert (begun.status, begun.collection, begun.stripe_subscription_id) == ("active", "none", None)
        await eventually(lambda: shop.bucket("team_members"))
        assert (await shop.allowed("orders")).quantity == 10
        assert await shop.refused(subscribe_for_free(shop)) == (
            "already_subscribed",
            {"subscription_id": begun.subscription_id},
        )
        code, details = await shop.refused(subscribe_for_free(shop, "essential_monthly"))
        assert (code, details) == ("payment_method_required", {"customer": shop.acme.token})

        first_end = begun.current_period_end
        assert first_end is not None
        await shop.tick("subscriptions", "move_periods", first_end)
        renewed = await eventually(lambda: _renewed(shop, first_end))
        await shop.tick("subscriptions", "move_periods", first_end)
        second_end = renewed.current_period_end
        await shop.cancel(begun.subscription_id, at="period_end")
        assert (await shop.subscription()).status == "active"
        await shop.tick("subscriptions", "move_periods", second_end)
        ended = await shop.becomes("canceled")
        assert ended.ended_at == second_end
        await eventually(lambda: told.names("subscription")[-1] == "canceled")
        assert told.names("subscription") == [
            "created",
            "activated",
            "renewed",
            "cancelScheduled",
            "canceled",
        ]
        await shop.leaves_bucket("orders")
        assert shop.stripe.v1.subscriptions.list({"customer": await _stripe_id(shop)}).data == []
        # What has ended can be begun again.
        again = (await shop.billing.call(subscribe_for_free(shop))).subscription
        assert again.subscription_id != begun.subscription_id


async def test_two_subscriptions_add_up(shop: Shop) -> None:
    # Starter (10 products, 10 orders, 1 member) and Essential (200, 100, 1, basic support).
    await shop.register()
    free = (await shop.billing.call(subscribe_for_free(shop))).subscription
    paid = await shop.buys("essential_monthly")
    quantities = {
        feature: (await shop.allowed(feature)).quantity for feature in ("products", "orders", "team_members")
    }
    assert quantities == {"products": 210, "orders": 110, "team_members": 2}
    assert (await shop.allowed("basic_support")).allowed
    sources = (await shop.allowed("products")).sources
    assert {(source.subscription_id, source.product, source.through) for source in sources} == {
        (free.subscription_id, "starter", "owner"),
        (paid.subscription_id, "essential", "owner"),
    }
    # Professional: unlimited products, 500 orders, 3 members; and one flag more.
    third = await shop.buys("professional_monthly")
    products = await shop.allowed("products")
    assert (products.allowed, products.quantity) == (True, None)
    assert (await shop.allowed("orders")).quantity == 610
    await shop.cancel(paid.subscription_id)
    assert (await shop.allowed("basic_support")).allowed, "Professional gives it too"
    assert (await shop.allowed("orders")).quantity == 510
    await shop.cancel(third.subscription_id)
    assert not (await shop.allowed("basic_support")).allowed
    assert (await shop.allowed("products")).quantity == 10
    # What has ended steps back behind what goes on.
    assert (await shop.subscription()).subscription_id == free.subscription_id


async def test_a_subscription_made_directly_in_stripe_is_taken_in(shop: Shop) -> None:
    # For a known customer: one item of our catalog, and one whose price only Stripe knows.
    registered = await shop.register()
    stripe_customer_id = str(registered.stripe_customer_id)
    shop.saves_card(stripe_customer_id)
    ours = shop.stripe.v1.prices.list({"lookup_keys": ["essential_monthly"]}).data[0]
    product = shop.stripe.v1.products.create({"name": "Sealing wax"})
    theirs = shop.stripe.v1.prices.create(
        {"product": product.id, "currency": "eur", "unit_amount": 300, "recurring": {"interval": "month"}}
    )
    made = shop.stripe.v1.subscriptions.create(
        {"customer": stripe_customer_id, "items": [{"price": ours.id}, {"price": theirs.id, "quantity": 2}]}
    )
    found = await eventually(lambda: _taken_in(shop, "active"))
    assert found.stripe_subscription_id == made.id
    assert {(item.product, item.price, item.quantity) for item in found.items} == {
        ("essential", "essential_monthly", 1),
        (None, None, 2),
    }
    assert (await shop.allowed("products")).quantity == 200
    # The same plan is not sold to them again.
    code, _ = await shop.refused(shop.checkout("essential_yearly"))
    assert code == "already_subscribed"


async def test_a_renewal_is_told_and_paid_once(shop: Shop) -> None:
    # Two months at 49.00 each.
    clock = await shop.on_a_clock()
    async with shop.feed() as told:
        bought = await shop.buys("essential_monthly")
        shop.advance(clock, bought.current_period_end)
        renewed = await eventually(lambda: _renewed(shop, bought.current_period_end))
        assert renewed.current_period_start == bought.current_period_end
        await shop.all_applied()
        await eventually(lambda: told.names("invoice").count("paid") == 2)
        assert told.names("subscription").count("renewed") == 1
        page = await shop.billing.ask(m.ListInvoices(customer=shop.acme))
        assert [(invoice.status, invoice.amount_paid) for invoice in page.items] == [("paid", 4900)] * 2
        assert {invoice.subscription_id for invoice in page.items} == {bought.subscription_id}
        assert page.items[0].created_at > page.items[1].created_at


async def test_a_customer_changes_in_stripe_and_here(shop: Shop) -> None:
    # The same again tells nothing; a change made here and one made in Stripe tell one event each.
    async with shop.feed() as told:
        registered = await shop.register(name="Acme")
        await shop.register(name="Acme")
        changed = await shop.register(email="bills@acme.example", metadata={"billing_manager": "u-7"})
        assert (changed.version, changed.email, changed.name) == (2, "bills@acme.example", "Acme")
        stripe_customer_id = str(registered.stripe_customer_id)
        assert shop.stripe.v1.customers.retrieve(stripe_customer_id).email == "bills@acme.example"
        await shop.all_applied()
        shop.stripe.v1.customers.update(stripe_customer_id, {"email": "office@acme.example"})
        await eventually(lambda: told.names("customer") == ["created", "updated", "updated"])
        found = (await shop.billing.ask(m.GetCustomer(customer=shop.acme))).customer
        assert (found.version, found.email) == (3, "office@acme.example")
        assert found.metadata == {"billing_manager": "u-7"}


async def test_a_stripe_customer_has_one_counterpart(shop: Shop) -> None:
    registered = await shop.register()
    other = Customer(type="user", id=fresh_id("u"))
    taken = m.RegisterCustomer(
        command_id=fresh_id("register"),
        customer=other,
        email="other@acme.example",
        stripe_customer_id=registered.stripe_customer_id,
    )
    assert (await shop.refused(taken))[0] == "stripe_customer_taken"
    assert (await shop.refused(m.GetCustomer(customer=other)))[0] == "not_found"
    missing = taken.model_copy(update={"command_id": fresh_id("r"), "stripe_customer_id": "cus_nobody"})
    assert (await shop.refused(missing))[0] == "not_found"


def _taken_away(told: TolerantModel) -> set[Any]:
    snapshots = [event.snapshot for event in told.of("entitlement")]
    return {snapshot["feature"] for snapshot in snapshots if not snapshot["allowed"]}


def _cancel(subscription_id: str, at: Any) -> m.CancelSubscription:
    return m.CancelSubscription(command_id=fresh_id("cancel"), subscription_id=subscription_id, at=at)


async def _renewed(shop: Shop, start: datetime | None) -> m.SubscriptionSnapshot | None:
    found = await shop.subscription()
    return found if found.current_period_start == start else None


async def _taken_in(shop: Shop, status: str) -> m.SubscriptionSnapshot | None:
    outcome = await shop.billing.answer(m.GetSubscription(customer=shop.acme))
    return await shop.has_status(status) if outcome.status == "succeeded" else None


async def _stripe_id(shop: Shop) -> str:
    found = await shop.billing.ask(m.GetCustomer(customer=shop.acme))
    return str(found.customer.stripe_customer_id)
