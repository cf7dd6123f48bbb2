"""The license of a self-hosted plan: it follows its subscription from the first day to the last."""

import asyncio
import time

from shared.operations.audit import audit
from tallystick.client import CommandRejected
from tallystick.licensing import check, key_set_key
from tallystick.messages import licenses as m
from tallystick.messages import seats
from tallystick.messages import subscriptions as s
from tests.support.license_steps import activation, key_of, license_when, subscribes
from tests.support.shop import Shop, fresh_id
from tests.support.shop_steps import stripe_customer

FOLLOWS_SECONDS = 20.0
"""A quiet machine needs a tenth of a second; a busy one gets more, but less than a job's minute."""


def change_seats(license_id: str, seats: int) -> m.ChangeLicenseSeats:
    """A command that changes the seats of a license at once."""
    return m.ChangeLicenseSeats(
        command_id=fresh_id("seats"), license_id=license_id, seats=seats, when="now", proration="none"
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
    refresh = m.RefreshLicense(
        command_id=fresh_id("refresh"), license_key=key, instance_id="host-1", members=18
    )
    await shop.billing.call(refresh)
    code, details = await shop.refused(change_seats(issued.license_id, 17))
    assert (code, details) == ("seats_in_use", {"occupied": 18, "quantity": 17})
    assert (await shop.refused(change_seats(issued.license_id, 9_000)))[0] == "quantity_out_of_range"
    command = change_seats(issued.license_id, 18)
    assert (await shop.billing.call(command)).license.seats == 18
    assert (await shop.billing.call(command)).license.seats == 18
    assert (await shop.subscription()).items[0].quantity == 18
    [theirs] = shop.stripe.v1.subscriptions.list({"customer": customer_id}).data
    assert theirs.to_dict(for_json=True)["items"]["data"][0]["quantity"] == 18

    # A change that is made elsewhere arrives here in a moment, and so does the end.
    team = (await shop.billing.ask(seats.GetTeam(subscription_id=subscription_id))).team
    begun = time.monotonic()
    await shop.billing.call(
        seats.ChangeSeatCount(
            command_id=fresh_id("count"), team_id=team.team_id, quantity=30, when="now", proration="none"
        )
    )
    await license_when(shop.billing, subscription_id, seats=30)
    await shop.cancel(subscription_id)
    await license_when(shop.billing, subscription_id, status="expired")
    assert time.monotonic() - begun < FOLLOWS_SECONDS
    assert (await shop.refused(activation(key, "host-2")))[0] == "license_expired"
    await shop.all_applied()
    found = await audit(shop.system.stack.owner_url, shop.system.stack.nats.url, prefix="billing")
    assert {name: broken for name, broken in found.items() if broken and "license" in name} == {}


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
