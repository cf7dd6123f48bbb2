"""Seats and subscriptions together: entitlements of members, their end, and the cost of seats."""

import asyncio

from tallystick.messages import seats as s
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer
from tests.support.shop import FAILS_LATER_CARD, Shop, fresh_id
from tests.support.shop_steps import (
    HOUR,
    HOURS,
    has_nothing,
    is_settled,
    opens,
    pays_what_is_owed,
    reaches,
    somebody,
    stripe_customer,
    team_of,
)
from tests.support.waiting import eventually


async def seats_somebody(shop: Shop, team: s.TeamSnapshot) -> tuple[str, Customer]:
    """Assign a seat that is claimed at once; return its id and its member once it is in the bucket."""
    member = somebody()
    command = s.AssignSeat(command_id=fresh_id("assign"), team_id=team.team_id, member=member, immediate=True)
    seat = (await shop.billing.call(command)).seat
    await eventually(lambda: shop.bucket(HOURS, member))
    return seat.seat_id, member


async def test_a_member_has_the_seats_features_from_claim_to_end(shop: Shop) -> None:
    # Team: 10 hours for each seat, 5 more for the payer alone, audio transcription for all.
    await shop.register()
    team = await opens(shop, 3, collection="none")
    invited = s.AssignSeat(command_id=fresh_id("assign"), team_id=team.team_id, email="Ann@example.com")
    assigned = await shop.billing.call(invited)
    assert assigned.invitation_token is not None
    ann = somebody()
    claim = s.ClaimSeat(
        command_id=fresh_id("claim"),
        token=assigned.invitation_token,
        member=ann,
        email="ann@example.com",
    )
    assert await has_nothing(shop, ann)
    async with shop.mirror(ann) as mirror:
        await shop.billing.call(claim)
        await eventually(lambda: len(mirror) == 2)
        found = await shop.bucket(HOURS, ann)
        assert found is not None
        assert (found["quantity"], [source["through"] for source in found["sources"]]) == (10, ["seat"])
        assert (await shop.allowed("audio_transcription", ann)).allowed
        assert not (await shop.allowed("analytics", ann)).allowed

        doubled = s.SetSeatMultiplier(
            command_id=fresh_id("double"), seat_id=assigned.seat.seat_id, multiplier=2
        )
        await shop.billing.call(doubled)

        async def has_twice_as_much() -> bool:
            entry = await shop.bucket(HOURS, ann)
            return entry is not None and entry["quantity"] == 20

        await eventually(has_twice_as_much)
        await shop.billing.call(s.RevokeSeat(command_id=fresh_id("revoke"), seat_id=assigned.seat.seat_id))
        await eventually(lambda: len(mirror) == 0)
    _, ben = await seats_somebody(shop, team)
    await shop.cancel(team.subscription_id)
    await eventually(lambda: has_nothing(shop, ben))
    closed = await eventually(lambda: is_status(shop, team.subscription_id, "closed"))
    assert closed.occupied == 0


async def is_status(shop: Shop, subscription_id: str, status: str) -> s.TeamSnapshot | None:
    """The team if it has a status."""
    team = await team_of(shop, subscription_id)
    return team if team.status == status else None


async def test_members_lose_access_after_grace_until_it_is_paid(shop: Shop) -> None:
    # Three seats at 10.00. The second month cannot be charged; a week later all access is gone until paid.
    clock = await shop.on_a_clock()
    customer_id = await stripe_customer(shop)
    team = await opens(shop, 3)
    _, ann = await seats_somebody(shop, team)
    end = (await shop.subscription()).current_period_end
    assert end is not None
    shop.saves_card(customer_id, FAILS_LATER_CARD)
    reaches(shop, clock, end + 2 * HOUR)
    late = await shop.becomes("past_due")
    assert not await has_nothing(shop, ann)
    assert late.grace_until is not None
    await shop.tick("subscriptions", "end_grace", late.grace_until)
    await is_settled(shop, restricted=True)
    await eventually(lambda: has_nothing(shop, ann))

    async def is_suspended(expected: bool) -> bool:
        return (await team_of(shop, team.subscription_id)).suspended == expected

    await eventually(lambda: is_suspended(True))
    await shop.all_applied()
    await pays_what_is_owed(shop, customer_id)
    await is_settled(shop, status="active", restricted=False)
    await eventually(lambda: shop.bucket(HOURS, ann))
    await eventually(lambda: is_suspended(False))
    assert (await team_of(shop, team.subscription_id)).occupied == 2


async def test_fewer_seats_than_are_taken_are_refused_whoever_is_asked(shop: Shop) -> None:
    # Four seats, three taken beside the owner's free one: three are the fewest.
    await shop.register()
    team = await opens(shop, 4, collection="none")
    for _ in range(3):
        await seats_somebody(shop, team)
    to_two = s.ChangeSeatCount(
        command_id=fresh_id("two"), team_id=team.team_id, quantity=2, when="now", proration="none"
    )
    code, details = await shop.refused(to_two)
    assert (code, details["occupied"]) == ("seats_in_use", 3)

    directly = m.ChangeQuantity(
        command_id=fresh_id("directly"),
        subscription_id=team.subscription_id,
        quantity=2,
        when="now",
        proration="none",
    )
    code, details = await shop.refused(directly)
    assert (code, details["occupied"]) == ("seats_in_use", 3)
    to_three = to_two.model_copy(update={"command_id": fresh_id("three"), "quantity": 3})
    assert (await shop.billing.call(to_three)).team.quantity == 3


async def test_seats_are_never_assigned_and_removed_concurrently(shop: Shop) -> None:
    # Ten seats. Eight are asked for while the subscription itself is asked to go down to five: either there
    # are five and the others are refused, or there are more than five taken and ten remain.
    await shop.register()
    team = await opens(shop, 10, collection="none")
    lowering = m.ChangeQuantity(
        command_id=fresh_id("lower"),
        subscription_id=team.subscription_id,
        quantity=5,
        when="now",
        proration="none",
    )
    wishes = [
        s.AssignSeat(command_id=fresh_id("assign"), team_id=team.team_id, member=somebody(), immediate=True)
        for _ in range(8)
    ]
    outcomes = await asyncio.gather(
        *(shop.billing.outcome(wish) for wish in wishes[:4]),
        shop.billing.outcome(lowering),
        *(shop.billing.outcome(wish) for wish in wishes[4:]),
    )
    lowered = outcomes.pop(4)
    given = sum(outcome.status == "succeeded" for outcome in outcomes)
    if lowered.status == "succeeded":
        assert given == 5
    else:
        assert lowered.error is not None
        assert (lowered.error.code, given) == ("seats_in_use", 8)

    async def is_settled_at(quantity: int) -> bool:
        found = await team_of(shop, team.subscription_id)
        return found.quantity == quantity and found.change is None and found.occupied == given + 1

    await eventually(lambda: is_settled_at(5 if lowered.status == "succeeded" else 10))


async def test_a_seat_just_assigned_counts_immediately(shop: Shop) -> None:
    await shop.register()
    team = await opens(shop, 5, collection="none")
    for number in range(4):
        wish = s.AssignSeat(command_id=fresh_id("assign"), team_id=team.team_id, member=somebody())
        await shop.billing.call(wish)
        fewer = m.ChangeQuantity(
            command_id=fresh_id("fewer"),
            subscription_id=team.subscription_id,
            quantity=max(number, 1),
            when="now",
            proration="none",
        )
        if number:
            code, details = await shop.refused(fewer)
            assert (code, details["occupied"]) == ("seats_in_use", number + 1)
    solo = m.ChangePlan(
        command_id=fresh_id("solo"),
        subscription_id=team.subscription_id,
        price="essential_monthly",
        when="now",
    )
    assert (await shop.refused(solo))[0] == "seats_in_use"
    assert (await team_of(shop, team.subscription_id)).change is None
