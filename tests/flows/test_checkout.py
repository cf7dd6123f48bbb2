"""From the checkout page to the entitlements, and checkout sessions that are never paid."""

from datetime import timedelta

import pytest

from tallystick.messages import subscriptions as m
from tests.support.shop import CANCEL_URL, DECLINED_CARD, GOOD_CARD, SUCCESS_URL, Shop, fresh_id
from tests.support.waiting import eventually


async def test_a_paid_checkout_is_active_in_bucket_and_feed(shop: Shop) -> None:
    # Essential: 49.00 a month; basic support, 200 products, 100 orders a month, 1 team member.
    async with shop.feed() as told:
        registered = await shop.register()
        started = await shop.billing.call(shop.checkout("essential_monthly"))
        page = await shop.page(started.checkout_url, card_number=GOOD_CARD)
        assert (page.status_code, page.headers["location"]) == (303, SUCCESS_URL)
        bought = await shop.becomes("active")

        in_stripe = shop.stripe.v1.subscriptions.retrieve(str(bought.stripe_subscription_id))
        assert in_stripe.customer == registered.stripe_customer_id
        assert (in_stripe.status, in_stripe["items"].data[0].price.lookup_key) == (
            "active",
            "essential_monthly",
        )
        item = bought.items[0]
        assert (item.product, item.price, item.quantity, item.seats) == (
            "essential",
            "essential_monthly",
            1,
            None,
        )
        assert {feature.feature: feature.quantity for feature in item.features} == {
            "basic_support": None,
            "products": 200,
            "orders": 100,
            "team_members": 1,
        }
        assert bought.collection == "automatic"
        assert bought.current_period_start is not None
        assert bought.current_period_end is not None
        assert bought.current_period_end - bought.current_period_start >= timedelta(days=28)

        source = {"subscription_id": bought.subscription_id, "product": "essential", "through": "owner"}
        await eventually(lambda: shop.bucket("team_members"))
        assert await shop.bucket("products") == {
            "allowed": True,
            "quantity": 200,
            "sources": [source],
            "expires_at": None,
            "version": 1,
        }
        assert (await shop.allowed("basic_support")).allowed
        assert not (await shop.allowed("api_access")).allowed

        await eventually(lambda: "paid" in told.names("invoice"))
        await eventually(lambda: len(told.of("entitlement")) == 4)
        assert told.names("customer") == ["created"]
        assert told.names("subscription")[:2] == ["created", "activated"]
        statuses = [event.snapshot["status"] for event in told.of("subscription")]
        assert statuses[:2] == ["incomplete", "active"]
        order = [event.subject.split(".")[2] for event in told.events]
        assert order[0] == "customer"
        assert order.index("subscription") < order.index("entitlement")


async def test_a_trial_gives_everything_before_any_money_moves(shop: Shop) -> None:
    # team_monthly: 14 days of trial, 3 seats at 10.00; the owner alone has analytics.
    async with shop.feed() as told:
        await shop.register()
        bought = await shop.buys("team_monthly", 3)
        assert bought.status == "trialing"
        assert bought.trial_end is not None
        assert bought.trial_end - bought.current_period_start == timedelta(days=14)  # type: ignore[operator]
        assert bought.items[0].quantity == 3
        assert bought.items[0].seats is not None
        assert bought.items[0].seats.owner_seat == "free"
        await eventually(lambda: told.names("subscription")[:2] == ["created", "trialStarted"])
        await eventually(lambda: "paid" in told.names("invoice"))
        paid = [event.snapshot["total"] for event in told.of("invoice") if event.event == "paid"]
        assert paid == [0]
        assert (await shop.allowed("analytics")).allowed
        # The payer's own 5 hours; the 10 of a seat come with its claim, and nobody claims the owner's.
        assert (await shop.allowed("mentorship_hours")).quantity == 5


async def test_a_declined_card_leaves_the_page_open_for_another(shop: Shop) -> None:
    async with shop.feed() as told:
        await shop.register()
        started = await shop.billing.call(shop.checkout("essential_monthly"))
        declined = await shop.page(started.checkout_url, card_number=DECLINED_CARD)
        assert declined.status_code == 402
        assert (await shop.page(started.checkout_url, decline="1")).status_code == 402
        assert await shop.refused(m.GetSubscription(customer=shop.acme)) == (
            "not_found",
            {"customer": shop.acme.token},
        )
        assert (await shop.page(started.checkout_url, card_number=GOOD_CARD)).status_code == 303
        await shop.becomes("active")
        await shop.all_applied()
        created = [event for event in told.of("subscription") if event.event == "created"]
        assert len(created) == 1


async def test_who_gives_up_may_come_back_to_the_same_page(shop: Shop) -> None:
    # While a checkout is open the second is rejected with the URL of the first.
    await shop.register()
    started = await shop.billing.call(shop.checkout("essential_monthly"))
    left = await shop.page(started.checkout_url, cancel="1")
    assert (left.status_code, left.headers["location"]) == (303, CANCEL_URL)
    code, details = await shop.refused(shop.checkout("essential_monthly"))
    assert code == "already_subscribed"
    assert details["checkout_id"] == started.checkout_id
    assert (await shop.page(details["checkout_url"], card_number=GOOD_CARD)).status_code == 303
    await shop.becomes("active")


async def test_an_expired_page_frees_the_plan(shop: Shop) -> None:
    await shop.register()
    started = await shop.billing.call(shop.checkout("essential_monthly"))
    customer = (await shop.billing.ask(m.GetCustomer(customer=shop.acme))).customer
    open_pages = shop.stripe.v1.checkout.sessions.list({"customer": str(customer.stripe_customer_id)})
    shop.stripe.v1.checkout.sessions.expire(open_pages.data[0].id)
    assert (await shop.page(started.checkout_url, card_number=GOOD_CARD)).status_code == 410
    await shop.all_applied()
    again = await shop.billing.call(shop.checkout("essential_monthly"))
    assert again.checkout_id != started.checkout_id


async def test_the_same_plan_cannot_be_bought_twice_until_it_has_ended(shop: Shop) -> None:
    # Refused while active, by another price of the plan too; another plan is welcome; buying again works.
    await shop.register()
    first = await shop.buys("essential_monthly")
    for price in ("essential_monthly", "essential_yearly"):
        code, details = await shop.refused(shop.checkout(price))
        assert (code, details) == ("already_subscribed", {"subscription_id": first.subscription_id})
    await shop.billing.call(shop.checkout("professional_monthly"))
    await shop.cancel(first.subscription_id)
    second = await shop.buys("essential_monthly")
    assert second.subscription_id != first.subscription_id
    assert (await shop.allowed("products")).quantity == 200


@pytest.mark.parametrize("days", [-300, 300])
async def test_a_customer_of_another_time_buys_and_buys_again(shop: Shop, days: int) -> None:
    # On a test clock ten months ago or ahead: 15 holds there too.
    clock = await shop.on_a_clock(days=days)
    started = await shop.billing.call(shop.checkout("essential_monthly"))
    code, details = await shop.refused(shop.checkout("essential_monthly"))
    assert (code, details["checkout_id"]) == ("already_subscribed", started.checkout_id)
    assert (await shop.page(started.checkout_url, card_number=GOOD_CARD)).status_code == 303
    first = await shop.becomes("active")
    assert (await shop.refused(shop.checkout("essential_monthly")))[0] == "already_subscribed"
    await shop.cancel(first.subscription_id, at="period_end")
    shop.advance(clock, first.current_period_end)
    await shop.becomes("canceled")
    second = await shop.buys("essential_monthly")
    assert second.subscription_id != first.subscription_id


async def test_what_cannot_be_bought_is_refused_with_its_reason(shop: Shop) -> None:
    # Studio is sold from 3 seats to 200; a flat plan only once; a free one not on a page.
    assert await shop.refused(shop.checkout("essential_monthly")) == (
        "not_found",
        {"customer": shop.acme.token},
    )
    await shop.register()
    for price in ("nothing_like_it", "starter_free"):
        code, details = await shop.refused(shop.checkout(price))
        assert (code, details) == ("unknown_price", {"price": price})
    for price, quantity, minimum, maximum in (
        ("studio_monthly", 2, 3, 200),
        ("studio_monthly", 201, 3, 200),
        ("essential_monthly", 2, 1, 1),
    ):
        assert await shop.refused(shop.checkout(price, quantity)) == (
            "quantity_out_of_range",
            {"price": price, "quantity": quantity, "minimum": minimum, "maximum": maximum},
        )
    assert shop.stripe.v1.checkout.sessions.list({"customer": await _stripe_id(shop)}).data == []


async def test_a_checkout_asked_for_twice_is_one_page(shop: Shop) -> None:
    await shop.register()
    command = shop.checkout("essential_monthly")
    first = await shop.billing.call(command)
    assert await shop.billing.call(command) == first
    other = command.model_copy(update={"success_url": "https://shop.example/other"})
    assert await shop.refused(other) == ("idempotency_conflict", {"command_id": command.command_id})
    assert len(shop.stripe.v1.checkout.sessions.list({"customer": await _stripe_id(shop)}).data) == 1


async def test_a_promotion_code_is_honoured(shop: Shop) -> None:
    # 20% off 49.00 is 39.20 on the first invoice.
    coupon = shop.stripe.v1.coupons.create({"percent_off": 20, "duration": "once"})
    code = fresh_id("FIFTH").replace("-", "")
    shop.stripe.v1.promotion_codes.create(
        {"promotion": {"type": "coupon", "coupon": coupon.id}, "code": code}
    )
    await shop.register()
    assert (await shop.refused(shop.checkout("essential_monthly", promotion_code="NOSUCHCODE")))[
        0
    ] == "not_found"
    await shop.buys("essential_monthly", promotion_code=code)

    async def paid() -> list[m.InvoiceSnapshot]:
        found = await shop.billing.ask(m.ListInvoices(customer=shop.acme))
        return [invoice for invoice in found.items if invoice.status == "paid"]

    (invoice,) = await eventually(paid)
    assert (invoice.total, invoice.amount_paid, invoice.currency) == (3920, 3920, "eur")


async def _stripe_id(shop: Shop) -> str:
    found = await shop.billing.ask(m.GetCustomer(customer=shop.acme))
    return str(found.customer.stripe_customer_id)
