"""Amounts of plan changes on test clocks; each test begins with the expected figures."""

from datetime import UTC, datetime
from typing import Any

from tallystick.messages import subscriptions as m
from tests.support.shop import FAILS_LATER_CARD, GOOD_CARD, Shop, TolerantModel, fresh_id
from tests.support.waiting import eventually


def day(month: int, number: int, hour: int = 0, minute: int = 0) -> datetime:
    """In a year to come: what ends by the clock, such as a grace period, has then not ended yet."""
    return datetime(2030, month, number, hour, minute, tzinfo=UTC)


async def _creates(shop: Shop, price: str, quantity: int | None = None, **fields: Any) -> str:
    """Create a subscription on the saved card; return its id."""
    command = m.CreateSubscription(
        command_id=fresh_id("create"),
        customer=shop.acme,
        items=[m.ItemToBuy(price=price, quantity=quantity)],
        **fields,
    )
    return (await shop.billing.call(command)).subscription.subscription_id


async def _pays_with(shop: Shop, card: str) -> None:
    """Give the newest subscription another card."""
    customer = (await shop.billing.ask(m.GetCustomer(customer=shop.acme))).customer
    theirs = str((await shop.subscription()).stripe_subscription_id)
    saved = shop.stripe.v1.payment_methods.attach(card, {"customer": str(customer.stripe_customer_id)})
    shop.stripe.v1.subscriptions.update(theirs, {"default_payment_method": saved.id})


async def _to_plan(shop: Shop, subscription_id: str, price: str, **fields: Any) -> m.SubscriptionChanged:
    command = m.ChangePlan(
        command_id=fresh_id("plan"), subscription_id=subscription_id, price=price, **fields
    )
    return await shop.billing.call(command)


async def _to_quantity(shop: Shop, subscription_id: str, seats: int, **fields: Any) -> m.SubscriptionChanged:
    command = m.ChangeQuantity(
        command_id=fresh_id("seats"), subscription_id=subscription_id, quantity=seats, **fields
    )
    return await shop.billing.call(command)


async def _invoices(shop: Shop) -> list[m.InvoiceSnapshot]:
    return (await shop.billing.ask(m.ListInvoices(customer=shop.acme))).items


def _lines(lines: list[m.InvoiceLine]) -> list[tuple[str | None, int, Any]]:
    return sorted((line.description, line.amount, line.period.start.isoformat()) for line in lines)


async def _told(told: TolerantModel, *names: str) -> None:
    await eventually(lambda: told.names("subscription")[-len(names) :] == list(names))


async def test_forty_days_of_a_team(shop: Shop) -> None:
    # 1 January: 3 seats at 10.00, 7 days of trial. 8 January: 30.00 for 31 days.
    # 23 January at noon, half of it left: 8 seats, -15.00 + 40.00 = 25.00 with the next invoice.
    # 8 February: 2 seats, as asked for on 1 February: 20.00 + 25.00 = 45.00, and the card fails.
    # 10 February: paid on the invoice's page, and all is well.
    clock = await shop.on_a_clock(since=day(1, 1))
    async with shop.feed() as told:
        team = await _creates(shop, "team_monthly", 3, trial_days=7)
        await shop.becomes("trialing")
        await shop.tick("subscriptions", "send_reminders", day(1, 5))
        await _told(told, "trialStarted", "trialEnding")

        await shop.lives_until(clock, day(1, 8, 2))
        assert (await shop.becomes("active")).current_period_end == day(2, 8)
        assert [invoice.total for invoice in await _invoices(shop)] == [3000, 0]

        await shop.lives_until(clock, day(1, 23, 12))
        preview = await shop.billing.ask(m.PreviewChange(subscription_id=team, quantity=8))
        assert (preview.due_now.amount, preview.next_invoice.amount) == (0, 2500 + 8000)
        grown = await _to_quantity(shop, team, 8)
        assert grown.subscription.items[0].quantity == 8

        await shop.lives_until(clock, day(2, 1))
        shrinks = await _to_quantity(shop, team, 2)
        assert shrinks.subscription.items[0].quantity == 8
        assert shrinks.scheduled_change is not None
        assert (shrinks.scheduled_change.quantity, shrinks.scheduled_change.at) == (2, day(2, 8))
        await shop.all_applied()
        coming = (await shop.billing.ask(m.UpcomingInvoice(customer=shop.acme))).invoice
        assert (coming.total, coming.subscription_id) == (4500, team)

        await _pays_with(shop, FAILS_LATER_CARD)
        await shop.lives_until(clock, day(2, 8, 2))
        overdue = await shop.becomes("past_due")
        assert (overdue.items[0].quantity, overdue.scheduled_change) == (2, None)
        owed = (await _invoices(shop))[0]
        assert (owed.status, owed.total, owed.attempt_count) == ("open", 4500, 1)
        assert _lines(owed.lines) == _lines(coming.lines)
        assert (await shop.allowed("audio_transcription")).allowed

        await shop.lives_until(clock, day(2, 10))
        assert owed.hosted_invoice_url is not None
        paid = await shop.page(owed.hosted_invoice_url, card_number=GOOD_CARD)
        assert paid.status_code in (200, 303)
        await shop.becomes("active")
        await shop.all_applied()
        await _told(
            told, "activated", "changed", "changeScheduled", "renewed", "changed", "pastDue", "recovered"
        )
        amounts = [invoice.amount_paid for invoice in await _invoices(shop)]
        assert amounts == [4500, 3000, 0]


async def test_up_at_once_and_down_with_the_period(shop: Shop) -> None:
    # Essential 49.00 to Professional 99.00 with half of January left: -24.50 + 49.50 = 25.00 at once.
    # Back down: not before 1 February, which costs 49.00.
    clock = await shop.on_a_clock(since=day(1, 1))
    plan = await _creates(shop, "essential_monthly")
    await shop.lives_until(clock, day(1, 16, 12))

    await _pays_with(shop, FAILS_LATER_CARD)
    up = m.ChangePlan(
        command_id=fresh_id("plan"),
        subscription_id=plan,
        price="professional_monthly",
        proration="invoice",
    )
    code, _ = await shop.refused(up)
    assert code == "payment_failed"
    await shop.all_applied()
    assert (await shop.subscription()).items[0].price == "essential_monthly"
    assert (await shop.allowed("products")).quantity == 200

    await _pays_with(shop, "pm_card_visa")
    preview = await shop.billing.ask(
        m.PreviewChange(subscription_id=plan, price="professional_monthly", proration="invoice")
    )
    assert (preview.due_now.amount, preview.next_invoice.amount) == (2500, 9900)
    await _to_plan(shop, plan, "professional_monthly", proration="invoice")
    assert (await shop.allowed("products")).quantity is None
    await shop.all_applied()
    charged = (await _invoices(shop))[0]
    assert (charged.status, charged.total) == ("paid", 2500)
    assert _lines(charged.lines) == _lines(preview.lines)

    down = await _to_plan(shop, plan, "essential_monthly")
    assert down.scheduled_change is not None
    assert (await shop.allowed("products")).quantity is None
    await shop.lives_until(clock, day(2, 1, 2))
    assert (await shop.subscription()).items[0].price == "essential_monthly"
    assert (await shop.allowed("products")).quantity == 200
    assert (await _invoices(shop))[0].total == 4900


async def test_an_offline_team_shrinks_with_its_period(shop: Shop) -> None:
    # Paid outside from 1 January on: 5 seats until the tick of 1 February, then 2.
    await shop.register()
    team = await _creates(shop, "team_monthly", 5, collection="none", period_start=day(1, 1))
    assert (await _to_quantity(shop, team, 2)).scheduled_change is not None
    async with shop.feed() as told:
        for _ in range(2):
            await shop.tick("subscriptions", "apply_changes", day(2, 1))
        await _told(told, "changeScheduled", "renewed", "changed")
    changed = await shop.subscription()
    assert (changed.items[0].quantity, changed.current_period_end) == (2, day(3, 1))
    assert changed.stripe_subscription_id is None


async def test_fourteen_months_of_a_yearly_team(shop: Shop) -> None:
    # Graduated: 3 × 100.00 = 300.00 on 1 January 2030; 8 seats are 5 × 100.00 + 3 × 80.00 = 740.00.
    # 2 July at noon is the middle of 365 days: -150.00 + 370.00 = 220.00 at once.
    # 1 January 2031: 740.00; then, from 2032 on, by the month.
    clock = await shop.on_a_clock(since=day(1, 1))
    async with shop.feed() as told:
        team = await _creates(shop, "team_yearly", 3, trial_days=0)
        await shop.lives_until(clock, day(7, 2, 12))
        preview = await shop.billing.ask(
            m.PreviewChange(subscription_id=team, quantity=8, proration="invoice")
        )
        assert (preview.due_now.amount, preview.next_invoice.amount) == (22000, 74000)
        await _to_quantity(shop, team, 8, proration="invoice")
        await shop.lives_until(clock, datetime(2031, 1, 1, 2, tzinfo=UTC))
        await shop.lives_until(clock, datetime(2031, 3, 1, tzinfo=UTC))
        assert [invoice.total for invoice in await _invoices(shop)] == [74000, 22000, 30000]
        assert all(invoice.status == "paid" for invoice in await _invoices(shop))
        monthly = await _to_plan(shop, team, "team_monthly")
        assert monthly.scheduled_change is not None
        assert monthly.scheduled_change.at == datetime(2032, 1, 1, tzinfo=UTC)
        await _told(told, "activated", "changed", "renewed", "changeScheduled")
