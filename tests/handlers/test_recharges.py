"""Units bought by themselves and by hand, charged in the Stripe stand-in through subscriptions."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest

from tallystick.messages import consumables as m
from tallystick.messages.base import Customer, Money
from tallystick.messages.catalog import FeatureEvent
from tests.handlers.grants_world import ANN, POOL, Grants, gives, item, team_item
from tests.handlers.recharge_world import ACCOUNT, FEATURE, PRICE, RechargeWorld, recharge_world
from tests.handlers.subscription_world import World
from tests.support.runtime import Bound
from tests.support.servers import NatsServer

# The SDK's own way of calling httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
async def world(
    bind: Callable[..., Bound], shop: World, nats_session: NatsServer
) -> AsyncIterator[RechargeWorld]:
    async with recharge_world(bind, shop, nats_session) as world:
        yield world


async def test_a_pool_below_its_threshold_buys_more_once(world: RechargeWorld) -> None:
    """100 − 30 − 40 − 20 = 10 is below 20: 50 more at 15.00 are 750.00, charged once; 60 remain."""
    stripe_id = await world.with_card()
    await world.has(100)
    await world.set_rule()
    assert [await world.uses(quantity) for quantity in (30, 40, 20)] == [70, 30, 10]
    assert await world.charges() == 1
    assert await world.remaining() == 60
    assert world.paid_amounts(stripe_id) == [75_000]
    assert await world.told() == [("requestedV1", 50, None), ("paidV1", 50, None)]
    (recharge,) = (await world.does(m.ListRecharges(account=ACCOUNT)))["items"]
    assert (recharge["status"], recharge["amount"]) == ("paid", {"amount": 75_000, "currency": "eur"})
    assert recharge["invoice_id"].startswith("inv_")


async def test_a_cap_cuts_what_does_not_fit_and_then_says_so_once(world: RechargeWorld) -> None:
    """Cap 100.00, price 15.00, 5 units are 75.00: then 1 unit for 15.00, and nothing for the 10.00 left."""
    stripe_id = await world.with_card()
    await world.has(1)
    await world.set_rule(
        threshold=100, recharge_quantity=5, max_spend_per_period=Money(amount=10_000, currency="eur")
    )
    await world.looks()
    assert [await world.charges() for _ in range(3)] == [1, 1, 0]
    for _ in range(3):
        await world.looks()
    assert await world.charges() == 0
    assert world.paid_amounts(stripe_id) == [7_500, 1_500]
    assert await world.remaining() == 7
    assert await world.told() == [
        ("requestedV1", 5, None),
        ("paidV1", 5, None),
        ("requestedV1", 1, None),
        ("paidV1", 1, None),
        ("skippedV1", 0, "spend_cap_reached"),
    ]
    rule = (await world.does(m.GetAutoRecharge(account=ACCOUNT, feature=FEATURE)))["auto_recharge"]
    assert rule["spent"] == {"amount": 9_000, "currency": "eur"}


async def test_a_cap_is_for_one_billing_period(world: RechargeWorld) -> None:
    """The team's period began ten days ago; what was spent the day before that does not count."""
    stripe_id = await world.with_card()
    team = "team:team_1"
    began = world.now - timedelta(days=10)
    await world.bound.rows(
        """INSERT INTO consumables.known_subscriptions
               (subscription_id, version, customer, bought, status, grants, period_start, period_end)
           VALUES ('sub_1', 1, 'organization_acme', '', 'active', true, %s, %s) RETURNING 1""",
        began,
        began + timedelta(days=30),
    )
    await world.bound.rows(
        """INSERT INTO consumables.known_teams
               (team_id, version, subscription_id, customer, strategy, suspended, closed)
           VALUES ('team_1', 1, 'sub_1', 'organization_acme', 'per_team', false, false) RETURNING 1"""
    )
    await world.has(1, account=team)
    await world.bound.rows(
        """INSERT INTO consumables.recharges
               (recharge_id, version, account, feature, quantity, amount, currency, status, automatic,
                created_at)
           VALUES ('recharge_before', 2, %s, 'hours', 1, 1500, 'eur', 'paid', true, %s) RETURNING 1""",
        team,
        began - timedelta(days=1),
    )
    cap = Money(amount=PRICE, currency="eur")
    await world.set_rule(account=team, threshold=100, max_spend_per_period=cap)
    for days in (0, 19):
        world.now = began + timedelta(days=10 + days)
        await world.looks(account=team)
        await world.charges()
    assert await world.remaining(team) == 2
    # Renewed, whether or not that is known already.
    world.now = began + timedelta(days=30, minutes=1)
    await world.looks(account=team)
    await world.charges()
    assert world.paid_amounts(stripe_id) == [PRICE] * 2
    bought = [("requestedV1", 1, None), ("paidV1", 1, None)]
    assert await world.told() == [*bought, ("skippedV1", 0, "spend_cap_reached"), *bought]


async def test_two_who_find_it_low_together_buy_once(world: RechargeWorld) -> None:
    stripe_id = await world.with_card()
    await world.has(26)
    await world.set_rule()
    await asyncio.gather(*[world.uses(1) for _ in range(8)], *[world.looks() for _ in range(8)])
    assert await world.charges() == 1
    assert await world.remaining() == 68
    assert world.paid_amounts(stripe_id) == [75_000]


async def test_a_refusal_finds_the_units_low_as_well(world: RechargeWorld) -> None:
    """5 left, 6 wanted: nothing is used, but more is bought."""
    stripe_id = await world.with_card()
    await world.has(5)
    await world.set_rule()
    assert await world.refuses(world.wants(6)) == "insufficient_balance"
    await world.charges()
    assert await world.remaining() == 55
    assert world.paid_amounts(stripe_id) == [75_000]


async def test_a_failed_charge_grants_nothing_and_three_in_a_row_suspend(world: RechargeWorld) -> None:
    stripe_id = await world.with_card("pm_card_chargeCustomerFail")
    await world.has(1)
    await world.set_rule()
    for _ in range(5):
        await world.looks()
        await world.charges()
    assert await world.remaining() == 1
    failed = ("failedV1", 50, "payment_failed")
    assert await world.told() == [*[("requestedV1", 50, None), failed] * 3, ("skippedV1", 0, "suspended")]
    rule = (await world.does(m.GetAutoRecharge(account=ACCOUNT, feature=FEATURE)))["auto_recharge"]
    assert (rule["failures"], rule["suspended"]) == (3, True)

    world.takes_card(stripe_id, "pm_card_visa")
    rule = await world.set_rule()
    assert (rule["failures"], rule["suspended"]) == (0, False)
    await world.looks()
    await world.charges()
    assert await world.remaining() == 51
    assert world.paid_amounts(stripe_id) == [75_000]


async def test_a_failure_that_is_followed_by_a_payment_is_forgotten(world: RechargeWorld) -> None:
    stripe_id = await world.with_card("pm_card_chargeCustomerFail")
    await world.has(1)
    await world.set_rule(threshold=2)
    await world.looks()
    await world.charges()
    world.takes_card(stripe_id, "pm_card_visa")
    await world.looks()
    await world.charges()
    rule = (await world.does(m.GetAutoRecharge(account=ACCOUNT, feature=FEATURE)))["auto_recharge"]
    assert (rule["failures"], await world.remaining()) == (0, 51)


async def test_a_customer_without_a_card_is_a_failure(world: RechargeWorld) -> None:
    await world.shop.register()
    await world.has(1)
    await world.set_rule()
    await world.looks()
    await world.charges()
    assert (await world.told())[-1] == ("failedV1", 50, "payment_method_required")


async def test_units_bought_by_hand_are_pending_until_they_are_paid(world: RechargeWorld) -> None:
    stripe_id = await world.with_card()
    await world.has(0)
    command = m.Recharge(command_id=world.command_id(), account=ACCOUNT, feature=FEATURE, quantity=3)
    assert (await world.does(command))["recharge"]["status"] == "pending"
    again = m.Recharge(command_id=world.command_id(), account=ACCOUNT, feature=FEATURE, quantity=3)
    assert await world.refuses(again) == "recharge_in_flight"
    assert await world.remaining() == 0
    await world.charges()
    assert await world.remaining() == 3
    assert world.paid_amounts(stripe_id) == [4_500]


async def test_recharges_are_listed_newest_first_page_by_page(world: RechargeWorld) -> None:
    await world.with_card()
    await world.has(0)
    await world.has(0, account=POOL)
    for quantity, account in ((1, ACCOUNT), (2, POOL), (3, ACCOUNT), (4, ACCOUNT)):
        command = m.Recharge(
            command_id=world.command_id(), account=account, feature=FEATURE, quantity=quantity
        )
        await world.does(command)
        await world.charges()
    found, cursor = [], None
    for length in (2, 1):
        page = await world.does(m.ListRecharges(account=ACCOUNT, limit=2, cursor=cursor))
        assert len(page["items"]) == length
        found += [one["quantity"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert (found, cursor) == ([4, 3, 1], None)


async def test_nothing_is_charged_twice_whatever_comes_again(world: RechargeWorld) -> None:
    stripe_id = await world.with_card()
    await world.has(1)
    await world.set_rule()
    await world.looks()
    await world.charges()
    world.handled = 0
    await world.charges()
    world.heard = 0
    await world.hears()
    await world.shop.catches_up()
    await world.hears()
    assert await world.remaining() == 51
    assert world.paid_amounts(stripe_id) == [75_000]
    assert [name for name, _, _ in await world.told()] == ["requestedV1", "paidV1"]


async def test_a_crash_between_charge_and_grant_is_finished(world: RechargeWorld) -> None:
    stripe_id = await world.with_card()
    await world.has(1)
    await world.set_rule()
    await world.looks()
    # Stripe is away after the invoice was made: the worker cannot tell whether it was paid.
    world.shop.stand_in.goes_away_after(3)
    (row,) = await world.bound.rows("SELECT recharge_id FROM consumables.recharges")
    command = m.ChargeRecharge(command_id=row["recharge_id"], recharge_id=row["recharge_id"])
    outcome = await world.bound.handle(command, world.now)
    assert outcome.status == "failed"
    assert await world.remaining() == 1
    world.shop.stand_in.comes_back()
    await world.charges()
    assert await world.remaining() == 51
    assert world.paid_amounts(stripe_id) == [75_000]


async def test_a_charge_that_was_lost_on_its_way_is_made_later(world: RechargeWorld) -> None:
    stripe_id = await world.with_card()
    await world.has(1)
    await world.set_rule()
    await world.looks()
    world.handled = 1
    assert await world.charges() == 0
    await world.bound.tick("settle_recharges", world.now + timedelta(minutes=9))
    assert await world.charges() == 0
    for minutes in (10, 15):
        await world.bound.tick("settle_recharges", world.now + timedelta(minutes=minutes))
    assert await world.charges() == 2
    await world.bound.tick("settle_recharges", world.now + timedelta(minutes=20))
    assert await world.charges() == 0
    assert await world.remaining() == 51
    assert world.paid_amounts(stripe_id) == [75_000]


async def test_the_invoice_alone_brings_the_units(world: RechargeWorld) -> None:
    """The answer to the charge was lost for good: the feed tells that it was paid."""
    await world.with_card()
    await world.has(1)
    await world.set_rule()
    await world.looks()
    await world.charges()
    # As if nothing of it had been recorded here.
    await world.bound.rows("UPDATE consumables.recharges SET status = 'failed', version = 2 RETURNING 1")
    await world.bound.rows("DELETE FROM consumables.grants WHERE key LIKE 'recharge/%%' RETURNING 1")
    await world.bound.rows(
        "UPDATE consumables.balances SET granted = granted - 50, remaining = remaining - 50 RETURNING 1"
    )
    await world.bound.rows("DELETE FROM consumables.outbox WHERE entity = 'recharge' RETURNING 1")
    await world.hears()
    assert await world.remaining() == 51
    assert await world.told() == [("paidV1", 50, None)]


async def test_units_that_expire_unused_are_bought_anew(world: RechargeWorld) -> None:
    stripe_id = await world.with_card()
    tomorrow = world.now + timedelta(days=1)
    await world.has(30, expires_at=tomorrow)
    await world.has(10)
    await world.set_rule()
    await world.bound.tick("expire_grants", tomorrow - timedelta(seconds=1))
    assert await world.charges() == 0
    await world.bound.tick("expire_grants", tomorrow)
    assert await world.charges() == 1
    assert await world.remaining() == 60
    assert world.paid_amounts(stripe_id) == [75_000]


async def test_nothing_is_bought_for_units_that_lapse_a_moment_before_new_ones_come(
    world: RechargeWorld,
) -> None:
    await world.with_card()
    told = Grants(world.bound)
    world.bound.now = world.now
    renewal = world.now + timedelta(days=31)
    await told.subscribed(item(gives(FEATURE, 30)))
    await world.set_rule()
    await world.bound.tick("expire_grants", renewal)
    assert await world.remaining() == 0
    assert await world.charges() == 0
    assert await told.names() == ["grantedV1", "expiredV1"], "neither low nor exhausted"


async def test_unlimited_units_are_not_bought(world: RechargeWorld) -> None:
    await world.with_card()
    await world.has(None)
    await world.set_rule()
    for _ in range(2):
        await world.looks()
    assert await world.charges() == 0
    assert await world.told() == [("skippedV1", 0, "unlimited")]


async def test_a_rule_that_is_off_buys_nothing(world: RechargeWorld) -> None:
    await world.with_card()
    await world.has(20)
    await world.set_rule()
    await world.set_rule(enabled=False)
    assert await world.uses(19) == 1
    await world.set_rule(enabled=False, threshold=30)
    assert await world.charges() == 0


async def test_a_rule_that_finds_the_units_low_already_buys_at_once(world: RechargeWorld) -> None:
    stripe_id = await world.with_card()
    await world.has(19)
    rule = await world.set_rule()
    assert rule["spent"] == {"amount": 75_000, "currency": "eur"}
    assert (await world.set_rule())["suspended"] is False, "set again while that is in flight"
    assert await world.charges() == 1
    assert await world.remaining() == 69
    assert world.paid_amounts(stripe_id) == [75_000]


async def test_rules_need_a_price_an_account_and_a_feature(world: RechargeWorld) -> None:
    await world.has(1)

    async def refused(**fields: str) -> str:
        known: dict[str, Any] = {"account": ACCOUNT, "feature": FEATURE} | fields
        command = m.SetAutoRecharge(
            command_id=world.command_id(), enabled=True, threshold=1, recharge_quantity=1, **known
        )
        return await world.refuses(command)

    assert await refused(feature="members") == "recharge_price_missing"
    assert await refused(feature="nothing") == "unknown_feature"
    assert await refused(account="customer:user_nobody") == "no_account"
    question = m.GetAutoRecharge(account=ACCOUNT, feature=FEATURE)
    assert await world.refuses(question) == "not_found"


async def test_a_rule_takes_its_cap_in_the_prices_currency_and_what_one_payment_can_be(
    world: RechargeWorld,
) -> None:
    await world.has(1)
    known: dict[str, Any] = {"account": ACCOUNT, "feature": FEATURE, "enabled": True, "threshold": 1}
    dollars = m.SetAutoRecharge(
        command_id="c1",
        recharge_quantity=1,
        max_spend_per_period=Money(amount=1, currency="usd"),
        **known,
    )
    assert await world.refuses(dollars) == "invalid_message"
    # 66,667 × 15.00 is a cent more than a million.
    assert (
        await world.refuses(m.SetAutoRecharge(command_id="c2", recharge_quantity=66_667, **known))
        == "invalid_message"
    )


async def test_the_team_that_pays_is_charged_for_its_pool(world: RechargeWorld) -> None:
    stripe_id = await world.with_card()
    payer = Customer(type="organization", id="acme")
    await world.has(1, account="team:team_1", customer=payer)
    await world.set_rule(account="team:team_1")
    await world.looks(account="team:team_1")
    await world.charges()
    assert await world.remaining("team:team_1") == 51
    assert world.paid_amounts(stripe_id) == [75_000]


async def test_nothing_is_bought_for_a_seat_that_was_revoked_or_a_team_that_is_closed(
    world: RechargeWorld,
) -> None:
    """What comes back to such an account, or lapses there, leaves it low, and nobody could use more."""
    stripe_id = await world.with_card()
    told = Grants(world.bound)
    world.bound.now = world.now
    plan = team_item(gives(FEATURE, 30, team_allowed=True), strategy="per_seat")
    await told.subscribed(plan)
    await told.team(strategy="per_seat")
    await told.seat(1, member=ANN)
    seat, tomorrow = "seat:seat_1", world.now + timedelta(days=1)
    await world.has(30, account=POOL, expires_at=tomorrow)
    for account in (seat, POOL):
        await world.set_rule(account=account)
    reserve = m.Reserve(
        command_id="reserve", consumer=ANN, feature=FEATURE, quantity=5, account=seat, ttl_seconds=60
    )
    await world.does(reserve)
    await told.seat(1, "revoked", ANN)
    await told.team(status="closed")

    await world.bound.tick("expire_reservations", tomorrow)
    await world.bound.tick("expire_grants", tomorrow)
    assert (await world.remaining(seat), await world.remaining(POOL)) == (0, 0)
    assert await world.charges() == 0
    for account in (seat, POOL):
        by_hand = m.Recharge(command_id=world.command_id(), account=account, feature=FEATURE, quantity=1)
        assert await world.refuses(by_hand) == "no_account"
    assert world.paid_amounts(stripe_id) == []


async def test_what_is_bought_by_hand_counts_neither_under_the_cap_nor_as_a_failure(
    world: RechargeWorld,
) -> None:
    stripe_id = await world.with_card()
    await world.has(20)
    await world.set_rule(max_spend_per_period=Money(amount=75_000, currency="eur"))

    async def buys_by_hand() -> None:
        command = m.Recharge(command_id=world.command_id(), account=ACCOUNT, feature=FEATURE, quantity=1)
        await world.does(command)
        await world.charges()

    await buys_by_hand()
    world.takes_card(stripe_id, "pm_card_chargeCustomerFail")
    await buys_by_hand()
    rule = (await world.does(m.GetAutoRecharge(account=ACCOUNT, feature=FEATURE)))["auto_recharge"]
    assert (rule["spent"]["amount"], rule["failures"], rule["suspended"]) == (0, 0, False)
    world.takes_card(stripe_id, "pm_card_visa")
    await world.uses(2)
    await world.charges()
    assert world.paid_amounts(stripe_id) == [1_500, 75_000]


async def test_an_invoice_that_was_made_void_fails_what_is_pending(world: RechargeWorld) -> None:
    """The answer to the charge was lost for good: the feed tells that nothing comes of it."""
    await world.with_card("pm_card_chargeCustomerFail")
    await world.has(1)
    await world.set_rule()
    await world.charges()
    # As if nothing of it had been recorded here.
    await world.bound.rows("UPDATE consumables.recharges SET status = 'pending', version = 1 RETURNING 1")
    await world.bound.rows("UPDATE consumables.auto_recharges SET failures = 0 RETURNING 1")
    await world.bound.rows(
        "DELETE FROM consumables.outbox WHERE entity = 'recharge' AND version = 2 RETURNING 1"
    )
    await world.shop.catches_up()
    await world.hears()
    assert await world.told() == [("requestedV1", 50, None), ("failedV1", 50, "payment_failed")]
    rule = (await world.does(m.GetAutoRecharge(account=ACCOUNT, feature=FEATURE)))["auto_recharge"]
    assert rule["failures"] == 1
    assert await world.remaining() == 1


@pytest.mark.parametrize(
    "edit",
    [{"archived": True}, {"unit_price": None}, {"unit_price": Money(amount=PRICE, currency="usd")}],
)
async def test_what_is_sold_no_more_or_for_other_money_is_not_bought(
    world: RechargeWorld, edit: dict[str, Any]
) -> None:
    await world.with_card()
    await world.has(20)
    await world.set_rule()
    [body] = [
        body
        for subject, body in await world.shop.bound.feed()
        if ".feature." in subject and body["feature"]["code"] == FEATURE
    ]
    event = FeatureEvent.model_validate(body, strict=False)
    edited = event.feature.model_copy(update=edit | {"version": 2})
    await world.bound.hears(event.model_copy(update={"feature": edited, "version": 2}))
    assert await world.uses(5) == 15
    assert await world.charges() == 0
    assert await world.told() == []


async def test_a_cap_of_ones_own_account_is_for_the_period_of_ones_own_subscription(
    world: RechargeWorld,
) -> None:
    """The period began forty days ago, before the month: what was bought then counts."""
    stripe_id = await world.with_card()
    told = Grants(world.bound)
    began = world.now - timedelta(days=40)
    world.bound.now = began
    await told.subscribed(item(), current_period_end=(began + timedelta(days=365)).isoformat())
    start, world.now = world.now, began + timedelta(hours=1)
    await world.has(20)
    await world.set_rule(max_spend_per_period=Money(amount=100_000, currency="eur"))
    await world.uses(1)
    await world.charges()
    world.now = start
    await world.uses(55)
    await world.charges()
    assert world.paid_amounts(stripe_id) == [75_000, 24_000], "50 and the 16 that fit"


async def test_a_suspension_is_told_once_and_again_after_something_was_bought(world: RechargeWorld) -> None:
    await world.with_card()
    await world.has(19)

    async def suspends(*, is_suspended: bool) -> None:
        await world.bound.rows("UPDATE consumables.accounts SET suspended = %s RETURNING 1", is_suspended)

    await suspends(is_suspended=True)
    await world.set_rule()
    assert await world.refuses(world.wants(1)) == "account_suspended"
    assert await world.charges() == 0
    await suspends(is_suspended=False)
    # 69 once 50 more are paid, and 19 again.
    assert await world.uses(1) == 18
    assert await world.charges() == 1
    await world.uses(50)
    assert await world.charges() == 1
    await suspends(is_suspended=True)
    grants = (await world.does(m.GetBalance(account=ACCOUNT, feature=FEATURE)))["grants"]
    assert [grant["remaining"] for grant in grants] == [18, 50]
    await world.does(
        m.RevokeGrant(command_id="revoke", grant_id=grants[1]["grant_id"], reason="Bought twice.")
    )
    skipped, bought = ("skippedV1", 0, "suspended"), [("requestedV1", 50, None), ("paidV1", 50, None)]
    assert await world.told() == [skipped, *bought, *bought, skipped]
