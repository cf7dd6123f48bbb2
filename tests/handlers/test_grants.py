"""Units that subscriptions and seats bring: when they come, to whom, and when they go."""

import asyncio
from collections.abc import Callable
from itertools import permutations

import pytest

from services.consumables.app import service
from tallystick.messages import consumables as m
from tallystick.messages.base import Customer
from tests.handlers.grants_world import (
    ANN,
    BOB,
    OWN,
    POOL,
    Grants,
    day,
    gives,
    item,
    team_item,
)
from tests.support.runtime import Bound

JANUARY = {"current_period_start": "2026-01-01", "current_period_end": "2026-02-01"}
SEAT = "seat:seat_1"


@pytest.fixture
def world(bind: Callable[..., Bound]) -> Grants:
    """Nothing told yet, on 1 January."""
    grants = Grants(bind(service))
    grants.at("2026-01-01")
    return grants


async def test_units_come_when_a_subscription_is_active(world: Grants) -> None:
    await world.subscribed(item(gives(quantity=100)), status="incomplete", **JANUARY)
    assert await world.remaining(OWN) == 0

    await world.subscribed(status="active")
    assert await world.remaining(OWN) == 100
    assert await world.grants(OWN) == [(100, day("2026-02-01"), 100)]
    ((name, event),) = await world.told()
    assert name == "grantedV1"
    assert event.grant is not None
    assert event.grant.source.subscription_id == "sub_1"
    assert (event.consumable.granted, event.consumable.remaining, event.version) == (100, 100, 1)
    assert await world.bucket() == {"customer_organization_acme.hours": {"remaining": 100, "version": 1}}


async def test_a_trial_brings_units_and_the_paid_time_brings_its_own(world: Grants) -> None:
    trial = {"current_period_start": "2026-01-01", "current_period_end": "2026-01-15"}
    await world.subscribed(item(gives(quantity=10)), status="trialing", trial_end="2026-01-15", **trial)
    assert await world.remaining(OWN) == 10

    await world.renewed("2026-01-15", "2026-02-15", status="active")
    assert await world.grants(OWN) == [(10, day("2026-02-15"), 100)]


async def test_what_is_heard_twice_is_granted_once(world: Grants) -> None:
    event = await world.subscribed(item(gives(quantity=100)), **JANUARY)
    await world.hears(event, event)
    await world.renews("2026-01-02")
    await world.renews("2026-01-02")
    assert await world.remaining(OWN) == 100
    assert await world.names() == ["grantedV1"]


async def test_a_renewal_brings_new_units_and_the_old_ones_lapse(world: Grants) -> None:
    await world.subscribed(item(gives(quantity=100)), **JANUARY)
    await world.renewed("2026-02-01", "2026-03-01")
    assert await world.grants(OWN) == [(100, day("2026-03-01"), 100)]
    balance = await world.balance(OWN)
    assert balance is not None
    assert (balance["granted"], balance["expired"], balance["remaining"]) == (200, 100, 100)
    assert await world.names() == ["grantedV1", "expiredV1", "grantedV1"]
    assert [event.version for _, event in await world.told()] == [1, 2, 3]


async def test_a_tick_does_not_grant_a_period_that_is_not_bought_yet(world: Grants) -> None:
    await world.subscribed(item(gives(quantity=100)), **JANUARY)
    await world.renews("2026-02-01")
    await world.expires("2026-02-01")
    assert await world.remaining(OWN) == 0

    await world.renewed("2026-02-01", "2026-03-01")
    assert await world.remaining(OWN) == 100


@pytest.mark.parametrize("expired_first", [True, False])
async def test_80_left_with_a_rollover_of_50(world: Grants, expired_first: bool) -> None:
    await world.subscribed(item(gives(quantity=80, rollover=50)), **JANUARY)
    if expired_first:
        await world.expires("2026-02-01")
    await world.renewed("2026-02-01", "2026-03-01")
    # What was carried over goes first.
    assert await world.grants(OWN) == [(50, day("2026-03-01"), 90), (80, day("2026-03-01"), 100)]

    await world.renewed("2026-03-01", "2026-04-01")
    assert await world.grants(OWN) == [(50, day("2026-04-01"), 90), (80, day("2026-04-01"), 100)]


async def test_a_yearly_plan_grants_monthly_for_fourteen_months(world: Grants) -> None:
    year = {"current_period_start": "2026-01-31", "current_period_end": "2027-01-31"}
    world.at("2026-01-31")
    await world.subscribed(item(gives(quantity=10)), **year)
    starts = [
        *("2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31", "2026-06-30", "2026-07-31"),
        *("2026-08-31", "2026-09-30", "2026-10-31", "2026-11-30", "2026-12-31"),
    ]
    for number, start in enumerate(starts, start=2):
        await world.renews(start)
        await world.renews(start)
        balance = await world.balance(OWN)
        assert balance is not None
        assert (balance["granted"], balance["remaining"]) == (10 * number, 10), start
    assert await world.grants(OWN) == [(10, day("2027-01-31"), 100)]

    await world.renews("2027-01-31")
    assert await world.grants(OWN) == [(10, day("2027-01-31"), 100)], "the second year is not bought yet"
    await world.renewed("2027-01-31", "2028-01-31")
    assert await world.grants(OWN) == [(10, day("2027-02-28"), 100)]
    await world.renews("2027-02-28")
    balance = await world.balance(OWN)
    assert balance is not None
    assert (balance["granted"], balance["expired"], balance["remaining"]) == (140, 130, 10)


async def test_after_an_outage_the_months_that_are_over_are_not_granted(world: Grants) -> None:
    year = {"current_period_start": "2026-01-01", "current_period_end": "2027-01-01"}
    await world.subscribed(item(gives(quantity=10, rollover=3)), **year)
    await world.renews("2026-05-20")
    assert await world.grants(OWN) == [(3, day("2026-06-01"), 90), (10, day("2026-06-01"), 100)]
    balance = await world.balance(OWN)
    assert balance is not None
    assert balance["granted"] == 23


async def test_weekly_units_of_a_monthly_plan_keep_their_own_rhythm(world: Grants) -> None:
    await world.subscribed(item(gives(quantity=7, every="week")), **JANUARY)
    await world.renews("2026-01-08")
    assert await world.grants(OWN) == [(7, day("2026-01-15"), 100)]
    await world.renewed("2026-02-01", "2026-03-01")
    # The fifth week began on 29 January, before the renewal.
    assert await world.grants(OWN) == [(7, day("2026-02-05"), 100)]


async def test_units_granted_once_stay_until_the_subscription_ends(world: Grants) -> None:
    await world.subscribed(item(gives(quantity=25, every=None)), **JANUARY)
    await world.renewed("2026-02-01", "2026-03-01")
    assert await world.grants(OWN) == [(25, None, 100)]
    await world.subscribed(status="canceled", ended_at="2026-03-01")
    assert await world.remaining(OWN) == 0


async def test_a_larger_plan_tops_the_running_month_up(world: Grants) -> None:
    await world.subscribed(item(gives(quantity=100)), **JANUARY)
    await world.subscribed(item(gives(quantity=250), product="larger"))
    assert await world.remaining(OWN) == 250
    await world.subscribed(item(gives(quantity=100)))
    assert await world.remaining(OWN) == 250, "what is granted is not taken back"
    await world.renewed("2026-02-01", "2026-03-01")
    assert await world.remaining(OWN) == 100


async def test_an_edit_of_the_product_changes_the_next_grant(world: Grants) -> None:
    await world.subscribed(item(gives(quantity=100), gives("extras", 5, every="year")), **JANUARY)
    await world.renewed(
        "2026-02-01", "2026-03-01", item(gives(quantity=40), gives("extras", 9, every="year"))
    )
    assert await world.remaining(OWN) == 40
    assert await world.remaining(OWN, "extras") == 5, "the year that runs is as it was"


async def test_an_edit_that_drops_a_feature_wipes_nothing(world: Grants) -> None:
    await world.subscribed(item(gives(quantity=100), gives("extras", 5, every=None)), **JANUARY)
    await world.renewed("2026-02-01", "2026-03-01", item(gives(quantity=100)))
    assert await world.remaining(OWN, "extras") == 5


async def test_unlimited_units_are_unlimited_month_after_month(world: Grants) -> None:
    await world.subscribed(item(gives(quantity=None)), **JANUARY)
    assert await world.remaining(OWN) is None
    await world.renewed("2026-02-01", "2026-03-01")
    assert await world.grants(OWN) == [(None, day("2026-03-01"), 100)]
    balance = await world.balance(OWN)
    assert balance is not None
    assert balance["unlimited"] == 1
    await world.subscribed(status="canceled", ended_at="2026-02-10")
    assert await world.remaining(OWN) == 0


async def test_two_subscriptions_add_up_and_the_end_of_one_leaves_the_other(world: Grants) -> None:
    await world.subscribed(item(gives(quantity=100)), **JANUARY)
    await world.subscribed(item(gives(quantity=30), product="pack"), subscription_id="sub_2", **JANUARY)
    assert await world.remaining(OWN) == 130
    await world.subscribed(status="canceled", ended_at="2026-01-20")
    assert await world.remaining(OWN) == 30


async def test_a_top_up_survives_other_products_renewals_and_the_end(world: Grants) -> None:
    await world.feature()
    await world.subscribed(item(gives(quantity=100)), **JANUARY)
    top_up = m.Grant(command_id="top-up", account=OWN, feature="hours", quantity=40, reason="sorry")
    assert (await world.bound.handle(top_up)).status == "succeeded"
    await world.subscribed(item(gives(quantity=30), product="pack"), subscription_id="sub_2", **JANUARY)
    assert await world.remaining(OWN) == 170
    await world.renewed("2026-02-01", "2026-03-01", item(gives(quantity=60), product="smaller"))
    await world.expires("2026-02-01")
    assert await world.remaining(OWN) == 40 + 60
    await world.subscribed(status="canceled", ended_at="2026-03-01")
    assert await world.grants(OWN) == [(40, None, 100)]


async def test_units_used_while_they_are_renewed_are_counted_once(world: Grants) -> None:
    await world.feature()
    plan = team_item(gives(quantity=10, team_allowed=True, rollover=10), strategy="per_seat")
    year = {"current_period_start": "2026-01-01", "current_period_end": "2027-01-01"}
    await world.subscribed(plan, **year)
    await world.team(strategy="per_seat")
    members = [Customer(type="user", id=f"member-{number}") for number in range(20)]
    for number, member in enumerate(members):
        await world.seat(number, member=member)
    world.at("2026-01-31T23:59:59")
    uses = [
        m.Consume(command_id=f"use-{month}-{member.id}", consumer=member, feature="hours", quantity=2)
        for month in range(4)
        for member in members
    ]

    async def renews() -> None:
        for month in ("02", "03", "04"):
            await world.bound.tick("renew_grants", day(f"2026-{month}-01"))

    renewing = asyncio.create_task(renews())
    outcomes = await asyncio.gather(*(world.bound.handle(use) for use in uses))
    await renewing
    assert {outcome.status for outcome in outcomes} == {"succeeded"}
    balances = await world.bound.rows("""
        SELECT consumed, granted = consumed + expired + remaining AS adds_up, remaining <= 20 AS is_sane
        FROM consumables.balances
    """)
    assert [tuple(row.values()) for row in balances] == [(8, True, True)] * 20
    entered = await world.bound.rows("SELECT sum(quantity) FROM consumables.entries WHERE kind = 'consumed'")
    assert entered[0]["sum"] == 160


async def test_the_owners_own_units_and_the_teams_are_separate(world: Grants) -> None:
    plan = team_item(gives(quantity=100, team_allowed=True), gives(quantity=10))
    await world.subscribed(plan, **JANUARY)
    assert (await world.remaining(OWN), await world.remaining(POOL)) == (10, 0)
    await world.team()
    assert (await world.remaining(OWN), await world.remaining(POOL)) == (10, 100)
    await world.seat(1, member=ANN)
    assert await world.access(POOL) == {"organization_acme", "user_ann"}
    assert await world.access(OWN) == set(), "nobody else draws on what is the owner's"


async def test_an_invited_strangers_units_wait_for_the_claim(world: Grants) -> None:
    plan = team_item(gives(quantity=10, team_allowed=True), strategy="per_seat")
    await world.subscribed(plan, **JANUARY)
    await world.team(strategy="per_seat")
    await world.seat(1, "pending", None)
    assert (await world.remaining(SEAT), await world.remaining(OWN)) == (0, 0)

    await world.seat(1, "claimed", BOB)
    assert (await world.remaining(SEAT), await world.remaining(OWN)) == (10, 0)
    assert await world.access(SEAT) == {"user_bob"}


async def test_a_multiplier_doubles_the_grants_of_its_seat(world: Grants) -> None:
    plan = team_item(gives(quantity=10, team_allowed=True), strategy="per_seat")
    await world.subscribed(plan, **JANUARY)
    await world.team(strategy="per_seat")
    await world.seat(1, member=ANN)
    await world.seat(2, member=BOB, multiplier=2)
    assert (await world.remaining(SEAT), await world.remaining("seat:seat_2")) == (10, 20)

    world.at("2026-01-16T12:00")
    await world.seat(1, member=ANN, multiplier=2)
    assert await world.remaining(SEAT) == 20
    await world.seat(1, member=ANN, multiplier=1)
    assert await world.remaining(SEAT) == 20
    await world.renewed("2026-02-01", "2026-03-01")
    assert (await world.remaining(SEAT), await world.remaining("seat:seat_2")) == (10, 20)


async def test_a_multiplier_tops_up_what_is_left_of_the_month_if_that_was_asked_for(world: Grants) -> None:
    plan = team_item(gives(quantity=10, team_allowed=True), strategy="per_seat")
    await world.subscribed(plan, **JANUARY)
    await world.team(strategy="per_seat")
    await world.seat(1, member=ANN)
    # Half of a month of 31 days: 5 of 10.
    world.at("2026-01-16T12:00")
    await world.seat(1, member=ANN, multiplier=2, prorated=True)
    assert await world.remaining(SEAT) == 15
    await world.renewed("2026-02-01", "2026-03-01")
    assert await world.remaining(SEAT) == 20


async def test_a_revoked_seat_has_nothing_and_gets_nothing(world: Grants) -> None:
    plan = team_item(gives(quantity=10, team_allowed=True), strategy="per_seat")
    await world.subscribed(plan, **JANUARY)
    await world.team(strategy="per_seat")
    await world.seat(1, member=ANN)
    await world.seat(1, "revoked", ANN)
    assert await world.remaining(SEAT) == 0
    assert await world.access(SEAT) == set()
    assert (await world.bucket())["seat_seat_1.hours"]["remaining"] == 0
    await world.renewed("2026-02-01", "2026-03-01")
    assert await world.remaining(SEAT) == 0


async def test_what_is_left_of_a_seat_goes_along_to_its_new_holder(world: Grants) -> None:
    plan = team_item(gives(quantity=10, team_allowed=True), strategy="per_seat")
    await world.subscribed(plan, **JANUARY)
    await world.team(strategy="per_seat")
    await world.seat(1, member=ANN)
    await world.seat(1, member=BOB)
    assert await world.remaining(SEAT) == 10
    assert await world.access(SEAT) == {"user_bob"}
    assert await world.access(POOL) == {"organization_acme", "user_bob"}


async def test_a_suspended_teams_accounts_are_suspended_and_restored(world: Grants) -> None:
    plan = team_item(gives(quantity=10, team_allowed=True), strategy="per_seat")
    await world.subscribed(plan, **JANUARY)
    await world.team(strategy="per_seat")
    await world.seat(1, member=ANN)

    async def suspended() -> set[str]:
        rows = await world.bound.rows("SELECT account FROM consumables.accounts WHERE suspended")
        return {row["account"] for row in rows}

    await world.team(suspended=True)
    assert await suspended() == {POOL, SEAT}
    await world.seat(2, member=BOB)
    assert await suspended() == {POOL, SEAT, "seat:seat_2"}
    await world.team(suspended=False)
    assert await suspended() == set()
    assert await world.remaining(SEAT) == 10


async def test_nothing_comes_while_grace_is_over_and_only_the_present_after_that(world: Grants) -> None:
    await world.subscribed(item(gives(quantity=10)), **JANUARY)
    await world.renewed("2026-02-01", "2026-03-01", status="past_due")
    assert await world.remaining(OWN) == 10, "everything stays during grace"
    await world.subscribed(restricted=True)
    rows = await world.bound.rows("SELECT suspended FROM consumables.accounts")
    assert [row["suspended"] for row in rows] == [True]
    await world.renewed("2026-03-01", "2026-04-01")
    await world.renewed("2026-04-01", "2026-05-01", status="active", restricted=False)
    assert await world.grants(OWN) == [(10, day("2026-05-01"), 100)]
    rows = await world.bound.rows("SELECT suspended FROM consumables.accounts")
    assert [row["suspended"] for row in rows] == [False]


async def test_in_whatever_order_it_is_heard_the_same_is_granted(world: Grants) -> None:
    plan = team_item(gives(quantity=10, team_allowed=True), gives(quantity=5), strategy="per_seat")
    for number, order in enumerate(permutations(range(4))):
        told = Grants(world.bound)
        told.at("2026-01-01")
        subscription = f"sub_{number}x"
        dated = {name: day(value) for name, value in JANUARY.items()}
        events = [
            told.subscription_event(plan, subscription_id=subscription, status="incomplete", **dated),
            told.subscription_event(subscription_id=subscription, status="active"),
            told.seat_event(100 + number, "pending", None, subscription_id=subscription),
            told.seat_event(100 + number, "claimed", ANN, multiplier=3, subscription_id=subscription),
        ]
        for index in order:
            await told.hears(events[index])
            await told.hears(events[index])
        assert await told.remaining(f"seat:seat_{100 + number}") == 30, order
    assert await world.remaining(OWN) == 5 * 24


async def test_a_limit_is_a_ceiling_that_does_not_come_anew(world: Grants) -> None:
    await world.subscribed(item(gives("places", 10, kind="limit")), **JANUARY)
    await world.renewed("2026-02-01", "2026-03-01")
    assert await world.grants(OWN, "places") == [(10, None, 100)]


async def occupied(world: Grants, quantity: int) -> None:
    """As if so many places were taken."""
    await world.bound.rows(
        "UPDATE consumables.grants SET consumed = %s, remaining = remaining - %s, open = remaining > %s"
        " WHERE feature = 'places' RETURNING 1",
        *[quantity] * 3,
    )
    await world.bound.rows(
        "UPDATE consumables.balances SET consumed = %s, remaining = remaining - %s"
        " WHERE feature = 'places' RETURNING 1",
        *[quantity] * 2,
    )


async def test_a_lower_ceiling_takes_nothing_and_allows_nothing_more(world: Grants) -> None:
    await world.subscribed(item(gives("places", 10, kind="limit")), **JANUARY)
    await occupied(world, 10)
    await world.subscribed(item(gives("places", 3, kind="limit"), product="smaller"))
    balance = await world.balance(OWN, "places")
    assert balance is not None
    assert (balance["consumed"], balance["remaining"], balance["excess"]) == (10, 0, 7)

    await world.subscribed(item(gives("places", 12, kind="limit"), product="larger"))
    balance = await world.balance(OWN, "places")
    assert balance is not None
    assert (balance["consumed"], balance["remaining"], balance["excess"]) == (10, 2, 0)


async def test_free_places_go_with_a_lower_ceiling(world: Grants) -> None:
    await world.subscribed(item(gives("places", 10, kind="limit")), **JANUARY)
    await occupied(world, 2)
    await world.subscribed(item(gives("places", 3, kind="limit"), product="smaller"))
    assert await world.remaining(OWN, "places") == 1


async def test_from_unlimited_places_to_some(world: Grants) -> None:
    await world.subscribed(item(gives("places", None, kind="limit")), **JANUARY)
    assert await world.remaining(OWN, "places") is None
    await world.subscribed(item(gives("places", 3, kind="limit"), product="smaller"))
    assert await world.remaining(OWN, "places") == 3
    await world.subscribed(item(gives("places", None, kind="limit"), product="larger"))
    assert await world.remaining(OWN, "places") is None
    await world.subscribed(status="canceled", ended_at="2026-01-20")
    assert await world.remaining(OWN, "places") == 0


async def test_ceilings_of_two_subscriptions_add_up(world: Grants) -> None:
    await world.subscribed(item(gives("places", 10, kind="limit")), **JANUARY)
    await world.subscribed(
        item(gives("places", 5, kind="limit"), product="pack"), subscription_id="sub_2", **JANUARY
    )
    assert await world.remaining(OWN, "places") == 15
    await world.subscribed(status="canceled", ended_at="2026-01-20")
    assert await world.remaining(OWN, "places") == 5
