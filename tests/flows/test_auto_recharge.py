"""Auto-recharge of a team's pool: units are consumed, bought, charged in Stripe and granted once paid."""

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from nats.js.errors import KeyNotFoundError

from tallystick.messages import consumables as c
from tallystick.messages import seats as s
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer
from tallystick.subjects import BALANCES_BUCKET
from tests.support.shop import Shop, fresh_id
from tests.support.waiting import eventually

HOURS = "mentorship_hours"


async def register(shop: Shop, card: str = "pm_card_visa") -> str:
    """Register the customer with a saved card; return the Stripe customer id."""
    stripe_id = str((await shop.register()).stripe_customer_id)
    shop.saves_card(stripe_id, card)
    return stripe_id


async def collected(shop: Shop, stripe_id: str) -> list[int]:
    """Return the amounts that Stripe has collected, oldest first."""
    listed = shop.stripe.v1.charges.list({"customer": stripe_id, "limit": 100}).data
    return [found.amount for found in reversed(listed) if found.status == "succeeded"]


async def opens_pool(shop: Shop) -> tuple[str, list[Customer]]:
    """Open a team of three members with one pool of 20; return its account."""
    command = m.CreateSubscription(
        command_id=fresh_id("create"),
        customer=shop.acme,
        items=[m.ItemToBuy(price="studio_monthly", quantity=5)],
        collection="none",
        trial_days=0,
    )
    subscription_id = (await shop.billing.call(command)).subscription.subscription_id

    async def opened() -> s.TeamSnapshot | None:
        outcome = await shop.billing.answer(s.GetTeam(subscription_id=subscription_id))
        if outcome.status != "succeeded":
            return None
        return (await shop.billing.ask(s.GetTeam(subscription_id=subscription_id))).team

    team: s.TeamSnapshot = await eventually(opened)
    members = [Customer(type="user", id=fresh_id("member")) for _ in range(3)]
    for member in members:
        await shop.billing.call(
            s.AssignSeat(command_id=fresh_id("assign"), team_id=team.team_id, member=member, immediate=True)
        )
    account = f"team:{team.team_id}"
    await has_left(shop, account, 20)
    for member in members:
        await eventually(partial(can_draw, shop, member))
    return account, members


async def can_draw(shop: Shop, member: Customer) -> bool:
    """Return whether a member has access to any account."""
    return await shop.rows("consumables.access", "consumer = %s", member.token) > 0


async def left(shop: Shop, account: str) -> int | None:
    """Return the remaining hours of an account according to the bucket; None where there is no key."""
    bucket = await shop.billing.connection.jetstream().key_value(BALANCES_BUCKET)
    try:
        entry = await bucket.get(f"{account.replace(':', '_', 1)}.{HOURS}")
    except KeyNotFoundError:
        return None
    remaining: int = json.loads(entry.value or b"")["remaining"]
    return remaining


async def has_left(shop: Shop, account: str, quantity: int) -> None:
    """Wait until this many units remain."""

    async def has() -> bool:
        return await left(shop, account) == quantity

    await eventually(has)


async def gives(shop: Shop, account: str, quantity: int) -> None:
    """Grant units by hand."""
    await shop.billing.call(
        c.Grant(
            command_id=fresh_id("grant"),
            account=account,
            feature=HOURS,
            quantity=quantity,
            reason="a good start",
        )
    )


async def uses(shop: Shop, member: Customer, quantity: int) -> int | None:
    """Consume units as a member; return what remains for the member."""
    command = c.Consume(command_id=fresh_id("use"), consumer=member, feature=HOURS, quantity=quantity)
    return (await shop.billing.call(command)).remaining


async def sets_rule(shop: Shop, account: str, **fields: Any) -> None:
    """Set a rule for the account: by default, buy 50 below 20."""
    known: dict[str, Any] = {"enabled": True, "threshold": 20, "recharge_quantity": 50} | fields
    await shop.billing.call(
        c.SetAutoRecharge(command_id=fresh_id("rule"), account=account, feature=HOURS, **known)
    )


async def recharges(shop: Shop, account: str) -> list[tuple[str, int, str | None]]:
    """Return status, quantity and reason of each recharge, oldest first."""
    page = await shop.billing.ask(c.ListRecharges(account=account))
    return [(one.status, one.quantity, one.reason) for one in reversed(page.items)]


async def test_a_pool_is_recharged_once_below_its_threshold(shop: Shop) -> None:
    # 100 − 30 − 40 − 20 = 10, and 50 more for 15.00 each are 750.00: 60.
    async with shop.feed() as told:
        stripe_id = await register(shop)
        account, (a, b, owner) = await opens_pool(shop)
        await gives(shop, account, 80)
        await sets_rule(shop, account)
        assert [await uses(shop, a, 30), await uses(shop, b, 40), await uses(shop, owner, 20)] == [70, 30, 10]
        await has_left(shop, account, 60)
        assert await recharges(shop, account) == [("paid", 50, None)]
        await shop.all_applied()
        assert await collected(shop, stripe_id) == [75_000]

        async def was_told() -> bool:
            return told.names("recharge") == ["requested", "paid"]

        await eventually(was_told)
        paid = told.of("recharge")[-1].snapshot
        invoices = (await shop.billing.ask(m.ListInvoices(customer=shop.acme))).items
        (invoice,) = [one for one in invoices if one.reference == paid["recharge_id"]]
        assert (invoice.status, invoice.total) == ("paid", 75_000)
        assert paid["invoice_id"] == invoice.invoice_id
        assert [line.description for line in invoice.lines] == ["50 × Mentorship hours"]


async def test_what_is_used_reaches_the_meter_that_the_catalog_names(shop: Shop) -> None:
    stripe_id = await register(shop)
    _, (a, b, _) = await opens_pool(shop)
    for member, minutes in ((a, 30), (b, 40)):
        await shop.billing.call(
            c.Consume(
                command_id=fresh_id("use"),
                consumer=member,
                feature="transcription_minutes",
                quantity=minutes,
            )
        )
    now = datetime.now(UTC)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    for _ in range(2):
        await shop.tick("consumables", "report_usage", now)

    async def is_counted() -> bool:
        meters = shop.stripe.v1.billing.meters
        ours = [meter for meter in meters.list({}).data if meter.event_name == "transcription_minutes"]
        if not ours:
            return False
        start = int((today - timedelta(days=1)).timestamp())
        span: Any = {"customer": stripe_id, "start_time": start, "end_time": start + 3 * 86_400}
        return meters.event_summaries.list(ours[0].id, span).data[0].aggregated_value == 70

    await eventually(is_counted)
    question = c.Usage(
        customer=shop.acme,
        feature="transcription_minutes",
        since=now,
        until=now + timedelta(days=1),
        by="month",
        group_by="consumer",
    )
    used = (await shop.billing.ask(question)).items
    assert {(one.consumer, one.quantity) for one in used} == {(a, 30), (b, 40)}
