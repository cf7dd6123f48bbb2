"""Units of a team on a yearly plan: granted every month to each seat and the owner, consumed and renewed."""

from datetime import datetime, timedelta

from services.consumables.domain.grant_cycles import boundary
from tallystick.messages import consumables as c
from tallystick.messages import seats as s
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer
from tests.support.shop import Shop, fresh_id
from tests.support.shop_steps import team_of
from tests.support.waiting import eventually

HOURS = "mentorship_hours"
A_MINUTE = timedelta(minutes=1)


async def holds(shop: Shop, team_id: str, multiplier: int = 1) -> tuple[str, Customer]:
    """Assign a seat to a new member; return its account and the member."""
    member = Customer(type="user", id=fresh_id("member"))
    command = s.AssignSeat(
        command_id=fresh_id("assign"),
        team_id=team_id,
        member=member,
        multiplier=multiplier,
        immediate=True,
    )
    seat = (await shop.billing.call(command)).seat
    return f"seat:{seat.seat_id}", member


async def has(shop: Shop, account: str, *, granted: int, remaining: int) -> None:
    """Wait until an account has this many hours granted and this many remaining."""

    async def is_so() -> bool:
        found = await shop.billing.ask(c.GetBalance(account=account, feature=HOURS))
        return (found.granted, found.remaining) == (granted, remaining)

    await eventually(is_so)


def uses(member: Customer, quantity: int) -> c.Consume:
    """A command that uses hours."""
    return c.Consume(command_id=fresh_id("use"), consumer=member, feature=HOURS, quantity=quantity)


async def test_a_yearly_team_has_its_hours_for_fourteen_months(shop: Shop) -> None:
    # A seat has 10 hours a month, one that counts twice 20, the owner 5 of their own: in fourteen months 140,
    # 280 and 70. In the first month 8 of 10 are used, and 3 more are refused; in the fourteenth all 20.
    clock = await shop.on_a_clock()
    bought = await shop.buys("team_yearly", 3)
    began = bought.current_period_start
    assert began is not None
    own = f"customer:{shop.acme.token}"
    await has(shop, own, granted=5, remaining=5)
    team = await eventually(lambda: team_of(shop, bought.subscription_id))
    first, ann = await holds(shop, team.team_id)
    second, bob = await holds(shop, team.team_id, multiplier=2)
    await has(shop, first, granted=10, remaining=10)
    await has(shop, second, granted=20, remaining=20)

    used = await shop.billing.call(uses(ann, 8))
    assert (used.consumed, used.remaining) == (8, 2)
    assert await shop.refused(uses(ann, 3)) == ("insufficient_balance", {"available": 2})
    await has(shop, second, granted=20, remaining=20)

    for month in range(1, 12):
        await shop.tick("consumables", "renew_grants", boundary(began, "month", month) + A_MINUTE)
        await has(shop, first, granted=10 * (month + 1), remaining=10)
    await has(shop, second, granted=240, remaining=20)
    await has(shop, own, granted=60, remaining=5)

    await shop.tick("consumables", "renew_grants", boundary(began, "month", 12) + A_MINUTE)
    shop.advance(clock, boundary(began, "month", 12))
    await eventually(lambda: is_renewed(shop, began))
    await has(shop, first, granted=130, remaining=10)
    await shop.tick("consumables", "renew_grants", boundary(began, "month", 13) + A_MINUTE)
    await has(shop, first, granted=140, remaining=10)
    await has(shop, second, granted=280, remaining=20)
    await has(shop, own, granted=70, remaining=5)
    assert (await shop.billing.call(uses(bob, 20))).remaining == 0


async def is_renewed(shop: Shop, began: datetime) -> m.SubscriptionSnapshot | None:
    """The subscription once its second year has begun."""
    found = await shop.subscription()
    return found if found.current_period_start and found.current_period_start > began else None


async def test_a_members_hours_go_with_the_seat_and_the_rest_stays(shop: Shop) -> None:
    await shop.register()
    bought = await shop.buys("team_yearly", 3)
    team = await eventually(lambda: team_of(shop, bought.subscription_id))
    first, ann = await holds(shop, team.team_id)
    second, bob = await holds(shop, team.team_id)
    await has(shop, first, granted=10, remaining=10)
    await has(shop, second, granted=10, remaining=10)
    top_up = c.Grant(
        command_id=fresh_id("grant"),
        account=f"customer:{shop.acme.token}",
        feature=HOURS,
        quantity=7,
        reason="for the launch",
    )
    await shop.billing.call(top_up)

    revoked = s.RevokeSeat(command_id=fresh_id("revoke"), seat_id=first.removeprefix("seat:"))
    await shop.billing.call(revoked)
    await has(shop, first, granted=10, remaining=0)
    assert (await shop.refused(uses(ann, 1)))[0] in ("no_account", "insufficient_balance")
    assert (await shop.billing.call(uses(bob, 1))).remaining == 9

    await shop.cancel(bought.subscription_id)
    # The plan's 5 of the owner's 12 are gone, what was granted by hand is not.
    await has(shop, f"customer:{shop.acme.token}", granted=12, remaining=7)
    await has(shop, second, granted=10, remaining=0)
