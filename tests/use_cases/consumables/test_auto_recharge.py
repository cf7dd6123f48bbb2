"""Auto-recharge rules: validation, thresholds and spending caps."""

from datetime import timedelta
from typing import Any

import pytest

from tallystick.messages import consumables as m
from tallystick.messages.base import Money
from tallystick.messages.catalog import FeatureEvent
from tests.support.worlds.grants import Grants, item
from tests.support.worlds.recharges import ACCOUNT, FEATURE, PRICE, RechargeWorld

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def world(recharging: RechargeWorld) -> RechargeWorld:
    return recharging


async def test_a_cap_cuts_what_does_not_fit_and_then_says_so_once(world: RechargeWorld) -> None:
    """Cap 100.00, price 15.00, 5 units are 75.00: then 1 unit for 15.00, and nothing for the 10.00 left."""
    stripe_id = await world.with_card()
    await world.has(1)
    cap = Money(amount=10_000, currency="eur")
    await world.set_rule(threshold=5, recharge_quantity=5, max_spend_per_period=cap)
    assert await world.charges() == 1
    await world.set_rule(threshold=100, recharge_quantity=5, max_spend_per_period=cap)
    assert [await world.charges() for _ in range(2)] == [1, 0]
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


async def test_a_shortfall_is_one_charge(world: RechargeWorld) -> None:
    """80 units used at once, below a threshold of 50 with lots of 5: ten lots for 750.00."""
    stripe_id = await world.with_card()
    await world.has(80)
    await world.set_rule(threshold=50, recharge_quantity=5)
    assert await world.uses(80) == 0
    assert [await world.charges() for _ in range(2)] == [1, 0]
    assert world.paid_amounts(stripe_id) == [75_000]
    assert await world.remaining() == 50


async def test_more_than_five_recharges_an_hour_suspend_the_rule(world: RechargeWorld) -> None:
    await world.with_card()
    await world.has(20)
    await world.set_rule(threshold=20, recharge_quantity=1)
    for _ in range(5):
        await world.uses(1)
        assert await world.charges() == 1
    await world.uses(1)
    assert await world.charges() == 0
    assert (await world.told())[-1] == ("skippedV1", 0, "suspended")
    rule = (await world.does(m.GetAutoRecharge(account=ACCOUNT, feature=FEATURE)))["auto_recharge"]
    assert rule["suspended"]
    # Set again an hour later, it buys again.
    world.now += timedelta(hours=1)
    await world.set_rule(threshold=20, recharge_quantity=1)
    assert await world.charges() == 1


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


async def test_a_rules_cap_has_the_prices_currency_and_payment_limits(
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


async def test_manual_recharges_count_neither_to_cap_nor_failures(
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


async def test_an_own_accounts_cap_follows_its_own_billing_period(
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


async def test_skipping_a_suspended_account_is_emitted_once(world: RechargeWorld) -> None:
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


@pytest.mark.parametrize(
    ("has", "rule", "expected"),
    [
        # 50 at 15.00; two lots of 50 lead from 19 back to 100; a cap of 40.00 is 2 units.
        (19, {}, (50, 75_000, None)),
        (19, {"threshold": 100}, (100, 150_000, None)),
        (19, {"max_spend_per_period": Money(amount=4_000, currency="eur")}, (2, 3_000, None)),
        (19, {"max_spend_per_period": Money(amount=1_000, currency="eur")}, (0, 0, "spend_cap_reached")),
        (20, {}, (0, 0, "enough_left")),
        (19, {"enabled": False}, (0, 0, "disabled")),
        (None, {}, (0, 0, "unlimited")),
    ],
)
async def test_a_preview_is_what_is_then_bought(
    world: RechargeWorld, has: int | None, rule: dict[str, Any], expected: tuple[int, int, str | None]
) -> None:
    stripe_id = await world.with_card()
    await world.has(has)
    known: dict[str, Any] = {"account": ACCOUNT, "feature": FEATURE, "threshold": 20, "recharge_quantity": 50}

    shown = await world.does(m.PreviewAutoRecharge(**(known | rule)))

    assert (shown["quantity"], shown["due_now"]["amount"], shown["reason"]) == expected
    await world.set_rule(**rule, due_now=Money.model_validate(shown["due_now"]))
    assert await world.charges() == (1 if expected[1] else 0)
    assert world.paid_amounts(stripe_id) == ([expected[1]] if expected[1] else [])


async def test_a_rule_that_would_charge_another_sum_is_not_set(world: RechargeWorld) -> None:
    # Agreed to with 20 left, which buys nothing; meanwhile one more was used.
    await world.with_card()
    await world.has(19)
    known: dict[str, Any] = {"account": ACCOUNT, "feature": FEATURE, "threshold": 20, "recharge_quantity": 50}
    agreed = Money(amount=0, currency="eur")
    command = m.SetAutoRecharge(command_id=world.command_id(), enabled=True, due_now=agreed, **known)

    outcome = await world.bound.handle(command, world.now)

    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.details) == (
        "amount_changed",
        {"due_now": {"amount": 75_000, "currency": "eur"}},
    )
    assert await world.charges() == 0
    assert await world.refuses(m.GetAutoRecharge(account=ACCOUNT, feature=FEATURE)) == "not_found"
    # While units are being bought, setting it again buys no more.
    await world.set_rule(due_now=Money(amount=75_000, currency="eur"))
    again = await world.does(m.PreviewAutoRecharge(**known))
    assert (again["quantity"], again["reason"]) == (0, "recharge_in_flight")
