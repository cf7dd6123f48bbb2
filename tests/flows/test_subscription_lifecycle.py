"""Whole lives of subscriptions on a Stripe test clock; each test begins with the expected figures."""

from datetime import UTC, datetime, timedelta

from tallystick.messages import subscriptions as m
from tests.support.shop import FAILS_LATER_CARD, Shop, fresh_id
from tests.support.shop_steps import (
    DAY,
    HOUR,
    create,
    is_settled,
    pays_what_is_owed,
    reaches,
    stripe_customer,
)
from tests.support.waiting import eventually


async def test_forty_days_of_a_monthly_plan(shop: Shop) -> None:
    # Seven days of trial; Essential 49.00; in the middle of the month Professional, 99.00: half a month of
    # both is left, so 49.50 - 24.50 = 25.00 at once; Essential again from the next month, whose 49.00 cannot
    # be charged on the 37th or 38th day, and are paid on the 40th. 0 + 49 + 25 + 49 = 123.00 in all.
    clock = await shop.on_a_clock()
    customer_id = await stripe_customer(shop)
    async with shop.feed() as told:
        begun = (await shop.billing.call(create(shop, trial_days=7))).subscription
        assert begun.status == "trialing"
        assert begun.trial_end is not None
        day = begun.trial_end - 7 * DAY
        await eventually(lambda: shop.bucket("products"))
        await shop.tick("subscriptions", "send_reminders", day + 4 * DAY + HOUR)
        await eventually(lambda: "trialEnding" in told.names("subscription"))

        reaches(shop, clock, begun.trial_end + 2 * HOUR)
        active = await shop.becomes("active")
        start, end = active.current_period_start, active.current_period_end
        assert start == begun.trial_end
        assert end is not None
        reaches(shop, clock, start + (end - start) / 2)
        upgrade = m.ChangePlan(
            command_id=fresh_id("up"),
            subscription_id=begun.subscription_id,
            price="professional_monthly",
            when="now",
            proration="invoice",
        )
        await shop.billing.call(upgrade)
        assert (await shop.allowed("orders")).quantity == 500
        downgrade = m.ChangePlan(
            command_id=fresh_id("down"), subscription_id=begun.subscription_id, price="essential_monthly"
        )
        scheduled = (await shop.billing.call(downgrade)).subscription
        assert scheduled.scheduled_change is not None
        assert (scheduled.scheduled_change.price, scheduled.scheduled_change.at) == ("essential_monthly", end)
        assert (await shop.allowed("orders")).quantity == 500

        shop.saves_card(customer_id, FAILS_LATER_CARD)
        reaches(shop, clock, end + 2 * HOUR)
        late = await shop.becomes("past_due")
        assert late.grace_until == end + HOUR + 7 * DAY
        assert (await shop.allowed("orders")).quantity == 100
        reaches(shop, clock, day + 40 * DAY)
        await pays_what_is_owed(shop, customer_id)
        recovered = await is_settled(shop, status="active", grace_until=None)
        assert [item.price for item in recovered.items] == ["essential_monthly"]
        await shop.all_applied()

        await eventually(lambda: told.names("invoice").count("paid") == 4)
        page = await shop.billing.ask(m.ListInvoices(customer=shop.acme))
        assert sorted(invoice.amount_paid for invoice in page.items) == [0, 2500, 4900, 4900]
        names = told.names("subscription")
        assert [names.count(name) for name in ("trialStarted", "trialEnding", "pastDue", "recovered")] == [
            1
        ] * 4
        assert names.index("trialEnding") < names.index("activated") < names.index("pastDue")
        assert names.count("changed") == 2


async def test_out_of_retries(shop: Shop) -> None:
    # 49.00 each month. The second cannot be charged: at once, and 3, 5 and 7 days after one another. Grace
    # ends after seven days, and with the last attempt the subscription. Buying again afterwards works.
    clock = await shop.on_a_clock()
    customer_id = await stripe_customer(shop)
    async with shop.feed() as told, shop.mirror() as mirror:
        begun = (await shop.billing.call(create(shop))).subscription
        end = begun.current_period_end
        assert end is not None
        shop.saves_card(customer_id, FAILS_LATER_CARD)
        await shop.all_applied()
        reaches(shop, clock, end + 2 * HOUR)
        await shop.becomes("past_due")
        await shop.all_applied()  # grace is counted from the failed payment, once that has been told
        late = await shop.subscription()
        assert late.grace_until is not None
        await shop.tick("subscriptions", "end_grace", late.grace_until - timedelta(seconds=1))
        await shop.tick("subscriptions", "end_grace", late.grace_until)
        await is_settled(shop, status="past_due", restricted=True)
        await eventually(lambda: len(mirror) == 0)
        assert not (await shop.allowed("orders")).allowed

        # One attempt after the other: what Stripe tells at the same moment may come in any order.
        for days in (4, 9, 17):
            await shop.all_applied()
            reaches(shop, clock, end + days * DAY)
        await shop.becomes("canceled")
        await shop.all_applied()
        await eventually(lambda: "canceled" in told.names("subscription"))
        failures = [event.snapshot for event in told.of("invoice") if event.event == "paymentFailed"]
        # The new card itself may be tried while the invoice is open: told, but no attempt that Stripe counts.
        attempts = [failure["attempt_count"] for failure in failures]
        assert list(dict.fromkeys(filter(None, attempts))) == [1, 2, 3, 4]
        assert len(attempts) <= 5
        names = told.names("subscription")
        assert [names.count(name) for name in ("pastDue", "restricted", "canceled")] == [1, 1, 1]
        shop.saves_card(customer_id)
        again = (await shop.billing.call(create(shop))).subscription
        assert (again.status, again.subscription_id != begun.subscription_id) == ("active", True)


async def test_restricted_and_restored(shop: Shop) -> None:
    # Essential: 100 orders. Overdue beyond grace: none; paid two days later: 100 again.
    clock = await shop.on_a_clock()
    customer_id = await stripe_customer(shop)
    begun = (await shop.billing.call(create(shop))).subscription
    end = begun.current_period_end
    assert end is not None
    shop.saves_card(customer_id, FAILS_LATER_CARD)
    reaches(shop, clock, end + 2 * HOUR)
    late = await shop.becomes("past_due")
    assert (await shop.allowed("orders")).quantity == 100
    await shop.tick("subscriptions", "end_grace", end + 8 * DAY)
    await is_settled(shop, restricted=True)
    await shop.leaves_bucket("orders")
    await pays_what_is_owed(shop, customer_id)
    await is_settled(shop, status="active", restricted=False, grace_until=None)
    assert (await shop.allowed("orders")).quantity == 100
    await eventually(lambda: shop.bucket("orders"))
    assert late.subscription_id == begun.subscription_id


async def test_a_subscription_paid_outside(shop: Shop) -> None:
    # Essential by the year from 15 March 2031, paid by bank transfer: renewed by ticks, once for two missed
    # years, paused and resumed, ended when asked. Stripe is never called.
    await shop.register()
    customer_id = await stripe_customer(shop)
    begin = datetime(2031, 3, 15, 12, tzinfo=UTC)
    command = create(shop, "essential_yearly", collection="none", period_start=begin)
    async with shop.feed() as told:
        begun = (await shop.billing.call(command)).subscription
        assert (begun.status, begun.collection, begun.stripe_subscription_id) == ("active", "none", None)
        assert begun.current_period_end == begin.replace(year=2032)
        await shop.tick("subscriptions", "send_reminders", begin.replace(year=2032) - 7 * DAY)
        await eventually(lambda: "renewalUpcoming" in told.names("subscription"))
        for _ in range(2):
            await shop.tick("subscriptions", "move_periods", begin.replace(year=2032))
        await is_settled(shop, current_period_end=begin.replace(year=2033))
        await shop.tick("subscriptions", "move_periods", begin.replace(year=2035, month=1))
        await is_settled(shop, current_period_end=begin.replace(year=2035))

        mine = {"subscription_id": begun.subscription_id}
        await shop.billing.call(m.PauseSubscription(command_id=fresh_id("pause"), **mine))
        assert not (await shop.allowed("orders")).allowed
        resumed = await shop.billing.call(m.ResumeSubscription(command_id=fresh_id("resume"), **mine))
        assert resumed.subscription.status == "active"
        await shop.cancel(begun.subscription_id, at="period_end")
        await shop.tick("subscriptions", "move_periods", begin.replace(year=2035))
        ended = await shop.becomes("canceled")
        assert ended.ended_at == begin.replace(year=2035)
        await eventually(lambda: told.names("subscription")[-1] == "canceled")
        assert told.names("subscription") == [
            "created",
            "activated",
            "renewalUpcoming",
            "renewed",
            "renewed",
            "paused",
            "resumed",
            "cancelScheduled",
            "canceled",
        ]
    assert shop.stripe.v1.subscriptions.list({"customer": customer_id, "status": "all"}).data == []


async def test_thinking_better_of_it(shop: Shop) -> None:
    # Cancelled for the period's end and reactivated: the next month comes and is paid, 49.00 twice.
    clock = await shop.on_a_clock()
    async with shop.feed() as told:
        begun = (await shop.billing.call(create(shop))).subscription
        reactivate = m.ReactivateSubscription(
            command_id=fresh_id("on"), subscription_id=begun.subscription_id
        )
        assert (await shop.refused(reactivate))[0] == "subscription_not_canceling"
        await shop.cancel(begun.subscription_id, at="period_end")
        again = reactivate.model_copy(update={"command_id": fresh_id("on")})
        found = (await shop.billing.call(again)).subscription
        assert (found.status, found.cancel_at_period_end) == ("active", False)
        shop.advance(clock, begun.current_period_end)
        await is_settled(shop, current_period_start=begun.current_period_end)
        await shop.all_applied()
        await eventually(lambda: told.names("invoice").count("paid") == 2)
        await shop.cancel(begun.subscription_id)
        last = reactivate.model_copy(update={"command_id": fresh_id("on")})
        assert (await shop.refused(last))[0] == "subscription_ended"


async def test_what_no_webhook_has_told(shop: Shop) -> None:
    # Stripe's webhooks are lost for a while: the hourly comparison finds what was changed there, and says so.
    clock = await shop.on_a_clock()
    async with shop.feed() as told:
        begun = (await shop.billing.call(create(shop))).subscription
        await shop.all_applied()
        await shop.deliveries(drop=20)
        shop.stripe.v1.subscriptions.update(str(begun.stripe_subscription_id), {"cancel_at_period_end": True})
        at = datetime.now(UTC).replace(microsecond=0)
        await shop.tick("subscriptions", "sync_stripe", at)
        await is_settled(shop, cancel_at_period_end=True)
        await eventually(lambda: "cancelScheduled" in told.names("subscription"))
        cause = told.of("subscription")[-1].body["caused_by"]
        assert cause == f"subscriptions.sync_stripe {at.isoformat().replace('+00:00', 'Z')}"
        await shop.deliveries(drop=0)
    assert clock
