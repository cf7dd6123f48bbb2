"""The license of a self-hosted plan: it follows its subscription from the first day to the last."""

import asyncio
import copy
import time
from typing import Any

from shared.operations.audit import audit
from tallystick.client import CommandRejected
from tallystick.licensing import check, key_set_key
from tallystick.messages import licenses as m
from tallystick.messages import seats
from tallystick.messages import subscriptions as s
from tallystick.messages.base import Command, Question
from tallystick.messages.catalog import ApplyCatalog
from tests.support.catalogs import example_catalog
from tests.support.license_steps import activation, key_of, license_when, subscribes
from tests.support.shop import Shop, fresh_id
from tests.support.shop_steps import somebody, stripe_customer, team_of
from tests.support.waiting import eventually

FOLLOWS_SECONDS = 10.0
"""It takes a tenth of a second, or a quarter on a busy machine. The limit is far below a job's minute."""


def change_seats(license_id: str, seats: int) -> m.ChangeLicenseSeats:
    """A command that changes the seats of a license at once."""
    return m.ChangeLicenseSeats(
        command_id=fresh_id("seats"), license_id=license_id, seats=seats, when="now", proration="none"
    )


def refresh(key: str, instance_id: str, members: int) -> m.RefreshLicense:
    """A command by which a machine gets a fresh file and reports its members."""
    return m.RefreshLicense(
        command_id=fresh_id("refresh"), license_key=key, instance_id=instance_id, members=members
    )


async def test_a_license_from_the_first_day_to_the_last(shop: Shop) -> None:
    await shop.register()
    customer_id = await stripe_customer(shop)
    shop.saves_card(customer_id)
    issued = await subscribes(shop.billing, shop.acme, 25, collection="automatic")
    subscription_id = str(issued.subscription_id)
    key = await key_of(shop.billing, issued.license_id)
    activated = await shop.billing.call(activation(key, "host-1"))
    answer = await shop.billing.ask(m.ListSigningKeys())
    keys = {"keys": [key_set_key(one.x) for one in answer.keys]}
    state = check(activated.license_file, keys, "host-1", activated.activation.activated_at)
    assert (state, state.license.seats) == ("valid", 25)
    assert state.license.features == {"api_access": None, "products": 1000, "white_label": None}

    # Eighteen people use it there: the seats cannot go below that, but to it, and Stripe has the same.
    await shop.billing.call(refresh(key, "host-1", 18))
    code, details = await shop.refused(change_seats(issued.license_id, 17))
    assert (code, details) == ("seats_in_use", {"occupied": 18, "members_reported": 18, "quantity": 17})
    assert (await shop.refused(change_seats(issued.license_id, 9_000)))[0] == "quantity_out_of_range"
    command = change_seats(issued.license_id, 18)
    assert (await shop.billing.call(command)).license.seats == 18
    assert (await shop.billing.call(command)).license.seats == 18
    assert (await shop.subscription()).items[0].quantity == 18
    [theirs] = shop.stripe.v1.subscriptions.list({"customer": customer_id}).data
    assert theirs.to_dict(for_json=True)["items"]["data"][0]["quantity"] == 18

    # A change that is made elsewhere arrives here in a moment, and so does the end.
    team = (await shop.billing.ask(seats.GetTeam(subscription_id=subscription_id))).team
    await shop.billing.call(
        seats.ChangeSeatCount(
            command_id=fresh_id("count"), team_id=team.team_id, quantity=30, when="now", proration="none"
        )
    )
    await license_when(shop.billing, subscription_id, seats=30)
    await shop.cancel(subscription_id)
    await license_when(shop.billing, subscription_id, status="expired")
    assert (await shop.refused(activation(key, "host-2")))[0] == "license_expired"
    await shop.all_applied()
    found = await audit(shop.system.stack.owner_url, shop.system.stack.nats.url, prefix="billing")
    assert {name: broken for name, broken in found.items() if broken and "license" in name} == {}


def with_a_larger_plan() -> dict[str, Any]:
    """The example catalog with another plan that runs on machines, at twice the price."""
    document: dict[str, Any] = copy.deepcopy(example_catalog())
    [plan] = [product for product in document["products"] if product["code"] == "self_hosted"]
    price = plan["prices"][0] | {"code": "large_yearly", "unit_amount": 19200}
    features = [{"feature": "products", "quantity": 5000}]
    rule = {"instances": 9, "grace_days": 7, "offline_days": 90}
    large = {"code": "large", "name": "Large", "features": features, "prices": [price], "license": rule}
    document["products"].append(plan | large)
    return document


async def test_each_change_of_a_subscription_is_there_in_a_moment(shop: Shop) -> None:
    await shop.register()
    await shop.billing.call(ApplyCatalog(command_id=fresh_id("catalog"), catalog=with_a_larger_plan()))
    issued = await subscribes(shop.billing, shop.acme, 25)
    about: dict[str, Any] = {"command_id": "later", "subscription_id": str(issued.subscription_id)}
    at_once: dict[str, Any] = about | {"when": "now", "proration": "none"}
    ends = (await shop.subscription()).current_period_end
    large = {"product": "large", "features": {"products": 5000}, "instances": 9, "offline_days": 90}
    story: list[tuple[Command[Any], dict[str, Any]]] = [
        (s.ChangeQuantity(**at_once, quantity=30), {"seats": 30}),
        (s.ChangePlan(**at_once, price="large_yearly"), {"seats": 30, **large}),
        (s.PauseSubscription(**about), {"status": "suspended", "suspended": True}),
        (s.ResumeSubscription(**about), {"status": "active", "suspended": False}),
        (s.CancelSubscription(**about, at="period_end"), {"status": "active", "expires_at": ends}),
        (s.ReactivateSubscription(**about), {"expires_at": None}),
        (s.CancelSubscription(**about, at="now"), {"status": "expired"}),
    ]
    for command, wanted in story:
        await shop.billing.call(command.model_copy(update={"command_id": fresh_id(command.name)}))
        begun = time.monotonic()
        await license_when(shop.billing, about["subscription_id"], **wanted)
        assert time.monotonic() - begun < FOLLOWS_SECONDS, command


async def test_seats_in_use_on_machines_are_not_sold_back_by_anybody(shop: Shop) -> None:
    # Twenty-five seats, one of them assigned. Two machines report eighteen members.
    await shop.register()
    issued = await subscribes(shop.billing, shop.acme, 25)
    subscription_id = str(issued.subscription_id)
    key = await key_of(shop.billing, issued.license_id)
    team = await eventually(lambda: team_of(shop, subscription_id))
    await shop.billing.call(
        seats.AssignSeat(command_id=fresh_id("one"), team_id=team.team_id, member=somebody(), immediate=True)
    )
    for host, members in (("host-1", 11), ("host-2", 7)):
        await shop.billing.call(activation(key, host))
        await shop.billing.call(refresh(key, host, members))
    # The report is answered, and counts: nothing is waited for.
    now: dict[str, Any] = {"when": "now", "proration": "none"}
    directly = s.ChangeQuantity(
        command_id=fresh_id("directly"), subscription_id=subscription_id, quantity=17, **now
    )
    to_another_plan = s.ChangePlan(
        command_id=fresh_id("plan"),
        subscription_id=subscription_id,
        price="essential_yearly",
        when="now",
    )
    of_the_team = seats.ChangeSeatCount(command_id=fresh_id("team"), team_id=team.team_id, quantity=17, **now)
    of_the_license = change_seats(issued.license_id, 17)
    for command in (directly, to_another_plan, of_the_team, of_the_license):
        code, details = await shop.refused(command)
        assert (code, details["occupied"], details["members_reported"]) == ("seats_in_use", 18, 18), command

    # Team, previews and what becomes of unused seats know it in a moment.
    await eventually(lambda: has_in_use(shop, subscription_id, 18))
    of_the_plan = s.PreviewChange(subscription_id=subscription_id, quantity=17)
    await eventually(lambda: is_refused_as_in_use(shop, of_the_plan))
    of_the_seats = seats.PreviewSeatChange(team_id=team.team_id, quantity=17)
    assert (await shop.refused(of_the_seats))[0] == "seats_in_use"
    unused = seats.RemoveUnusedSeats(command_id=fresh_id("unused"), team_id=team.team_id, when="now")
    assert (await shop.billing.call(unused)).team.quantity == 18
    await license_when(shop.billing, subscription_id, seats=18)

    # A machine that is given up frees its seats, in the same moment.
    freed = m.DeactivateLicense(command_id=fresh_id("freed"), license_key=key, instance_id="host-1")
    await shop.billing.call(freed)
    again = directly.model_copy(update={"command_id": fresh_id("again"), "quantity": 7})
    await eventually(lambda: has_in_use(shop, subscription_id, 7))
    assert (await shop.billing.call(again)).subscription.items[0].quantity == 7


async def has_in_use(shop: Shop, subscription_id: str, number: int) -> bool:
    """Whether the team has this many seats in use."""
    return (await team_of(shop, subscription_id)).seats_in_use == number


async def is_refused_as_in_use(shop: Shop, question: Question[Any]) -> bool:
    """Whether an answer is that too many seats are in use."""
    outcome = await shop.billing.answer(question)
    return outcome.error is not None and outcome.error.code == "seats_in_use"


async def test_a_paused_subscription_suspends_its_license(shop: Shop) -> None:
    await shop.register()
    issued = await subscribes(shop.billing, shop.acme)
    subscription_id = str(issued.subscription_id)
    key = await key_of(shop.billing, issued.license_id)
    pause = s.PauseSubscription(command_id=fresh_id("pause"), subscription_id=subscription_id)
    await shop.billing.call(pause)
    await license_when(shop.billing, subscription_id, status="suspended")
    assert (await shop.refused(activation(key, "host-1")))[0] == "license_suspended"
    resume = s.ResumeSubscription(command_id=fresh_id("resume"), subscription_id=subscription_id)
    await shop.billing.call(resume)
    await license_when(shop.billing, subscription_id, status="active")
    await shop.billing.call(activation(key, "host-1"))


async def test_six_machines_race_over_nats_for_the_places(shop: Shop) -> None:
    await shop.register()
    issue = m.IssueLicense(
        command_id=fresh_id("issue"), customer=shop.acme, product="self_hosted", instances=1
    )
    key = (await shop.billing.call(issue)).license_key
    commands = [activation(key, f"host-{number}") for number in range(6)]
    results = await asyncio.gather(*map(shop.billing.call, commands), return_exceptions=True)
    refused = [result for result in results if isinstance(result, CommandRejected)]
    assert [rejection.code for rejection in refused] == ["license_in_use"] * 5
    assert len((await shop.billing.ask(m.GetLicense(license_key=key))).license.activations) == 1
