"""The seats of one company from the first day to the last."""

import csv
import io
from datetime import timedelta

from shared.operations.audit import audit
from tallystick.messages import seats as s
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer
from tests.support.shop import FAILS_LATER_CARD, Shop, fresh_id
from tests.support.shop_steps import (
    DAY,
    HOUR,
    has_nothing,
    is_settled,
    opens,
    pays_what_is_owed,
    reaches,
    stripe_customer,
    team_of,
)
from tests.support.waiting import eventually

HOURS = "mentorship_hours"
FILE = """email,role
ann@example.com,editor
Ben@Example.com,editor
cleo@example.com,editor
dan@example.com,viewer
not an address,viewer
eve@example.com,viewer
finn@example.com,viewer
gus@example.com,viewer
ANN@example.com,viewer
hal@example.com,viewer
"""


def from_file(text: str) -> list[s.SeatToAssign]:
    """The people in an uploaded file."""
    return [s.SeatToAssign(email=row["email"], role=row["role"]) for row in csv.DictReader(io.StringIO(text))]


async def claims(shop: Shop, token: str | None) -> tuple[s.SeatSnapshot, Customer]:
    """Claim a seat as a new member; return both once the member has its entitlements."""
    assert token is not None
    member = Customer(type="user", id=fresh_id("member"))
    claim = s.ClaimSeat(command_id=fresh_id("claim"), token=token, member=member)
    seat = (await shop.billing.call(claim)).seat
    await eventually(lambda: shop.bucket(HOURS, member))
    return seat, member


async def has_hours(shop: Shop, member: Customer) -> None:
    """Wait until a member has the seat's entitlements."""
    await eventually(lambda: shop.bucket(HOURS, member))


async def loses_all(shop: Shop, member: Customer) -> None:
    """Wait until a member has no entitlements left."""
    await eventually(lambda: has_nothing(shop, member))


async def resent(shop: Shop, seat_id: str) -> str | None:
    """The token of a new invitation."""
    command = s.ResendInvitation(command_id=fresh_id("resend"), seat_id=seat_id)
    return (await shop.billing.call(command)).invitation_token


async def is_team(shop: Shop, subscription_id: str, **wanted: object) -> s.TeamSnapshot:
    """Wait until a team has these values."""

    async def has_them() -> s.TeamSnapshot | None:
        found = await team_of(shop, subscription_id)
        return found if all(getattr(found, name) == value for name, value in wanted.items()) else None

    found: s.TeamSnapshot = await eventually(has_them)
    return found


async def test_the_whole_life_of_a_companys_seats(shop: Shop) -> None:
    # Ten seats bought, so eleven with the owner's: ten lines of a file invite eight people (one is no
    # address, one is there twice). Six claim; the other two are invited again, their first tokens are dead;
    # one of them claims: nine of eleven with the owner. One is replaced. Fewer than the eight taken are
    # refused; one is revoked, seven stay, and from the next month seven are paid: 70.00 after 100.00. The
    # month after that is not paid until after grace: all access is gone until it is paid. In the end all
    # seven seats are revoked.
    clock = await shop.on_a_clock()
    customer_id = await stripe_customer(shop)
    async with shop.feed() as told:
        team = await opens(shop, 10)
        subscription_id = team.subscription_id
        assert (team.capacity, team.occupied, team.available) == (11, 1, 10)

        command = s.AssignSeats(command_id=fresh_id("file"), team_id=team.team_id, seats=from_file(FILE))
        result = await shop.billing.call(command)
        assert [one.index for one in result.assigned] == [0, 1, 2, 3, 5, 6, 7, 9]
        assert [(one.index, one.code) for one in result.errors] == [
            (4, "invalid_email"),
            (8, "seat_already_assigned"),
        ]
        tokens = [one.invitation_token for one in result.assigned]
        members = [await claims(shop, token) for token in tokens[:6]]
        assert (await team_of(shop, subscription_id)).occupied == 9

        waiting = [one.seat.seat_id for one in result.assigned[6:]]
        again = [await resent(shop, seat_id) for seat_id in waiting]
        late = Customer(type="user", id=fresh_id("late"))
        dead = s.ClaimSeat(command_id=fresh_id("dead"), token=tokens[6] or "", member=late)
        assert (await shop.refused(dead))[0] == "invitation_invalid"
        members.append(await claims(shop, again[0]))

        seat, before = members[0]
        after = Customer(type="user", id=fresh_id("after"))
        replace = s.ReplaceSeat(command_id=fresh_id("replace"), seat_id=seat.seat_id, member=after)
        replaced = (await shop.billing.call(replace)).seat
        assert (replaced.seat_id, replaced.status, replaced.member) == (seat.seat_id, "claimed", after)
        await eventually(lambda: shop.bucket(HOURS, after))
        await eventually(lambda: has_nothing(shop, before))
        members[0] = replaced, after

        fewer = s.ChangeSeatCount(command_id=fresh_id("few"), team_id=team.team_id, quantity=7, when="now")
        code, details = await shop.refused(fewer)
        assert (code, details["occupied"]) == ("seats_in_use", 8)
        await shop.billing.call(s.RevokeSeat(command_id=fresh_id("revoke"), seat_id=waiting[1]))
        unused = s.RemoveUnusedSeats(command_id=fresh_id("unused"), team_id=team.team_id, when="period_end")
        lowered = (await shop.billing.call(unused)).team
        assert (lowered.quantity, lowered.scheduled_quantity, lowered.available) == (10, 7, 0)
        more = s.AssignSeat(command_id=fresh_id("more"), team_id=team.team_id, email="ivy@example.com")
        assert (await shop.refused(more))[0] == "no_seat_available"

        end = (await shop.subscription()).current_period_end
        assert end is not None
        reaches(shop, clock, end + 2 * HOUR)
        await is_team(shop, subscription_id, quantity=7, scheduled_quantity=None, occupied=8)
        await eventually(lambda: told.names("invoice").count("paid") == 2)
        paid = [event.snapshot["total"] for event in told.of("invoice") if event.event == "paid"]
        assert paid == [10_000, 7_000]
        costs = await shop.billing.ask(s.MemberPayments(team_id=team.team_id))
        assert costs.total == 7_000 and [one.amount for one in costs.items] == [0, *[1_000] * 7]

        shop.saves_card(customer_id, FAILS_LATER_CARD)
        end = (await shop.subscription()).current_period_end
        assert end is not None
        reaches(shop, clock, end + 2 * HOUR)
        late_since = await shop.becomes("past_due")
        assert late_since.grace_until is not None
        assert await shop.bucket(HOURS, after)
        await shop.tick("subscriptions", "end_grace", late_since.grace_until)
        await is_team(shop, subscription_id, suspended=True, occupied=8)
        for _, member in members:
            await loses_all(shop, member)
        reaches(shop, clock, end + 3 * DAY)
        await shop.all_applied()
        await pays_what_is_owed(shop, customer_id)
        await is_settled(shop, status="active", restricted=False)
        await is_team(shop, subscription_id, suspended=False, occupied=8)
        for _, member in members:
            await has_hours(shop, member)

        await shop.cancel(subscription_id)
        await is_team(shop, subscription_id, status="closed", occupied=0)
        for _, member in members:
            await loses_all(shop, member)
        await eventually(lambda: "closed" in told.names("billing_team"))
        names = told.names("seat")
        assert [names.count(name) for name in ("assigned", "invitationResent", "claimed", "replaced")] == [
            8,
            2,
            7,
            1,
        ]
        assert names.count("revoked") == 8
        assert "suspended" in told.names("billing_team") and "restored" in told.names("billing_team")
    await no_token_is_anywhere(shop, [*tokens, *again])


async def no_token_is_anywhere(shop: Shop, tokens: list[str | None]) -> None:
    """Neither logs nor tables hold a token, and the audit of the service finds nothing."""
    stack = shop.system.stack
    written = "".join(stack.log(name).read_text() for name in ("seats", "subscriptions"))
    assert not [token for token in tokens if token is None or token in written]
    found = await audit(stack.owner_url, stack.nats.url, prefix="billing")
    assert {name: wrong for name, wrong in found.items() if wrong and name.startswith("seats")} == {}


async def test_invitations_expire_by_ticks_and_can_be_sent_again(shop: Shop) -> None:
    await shop.register()
    team = await opens(shop, 2, collection="none")
    invited = s.AssignSeat(command_id=fresh_id("assign"), team_id=team.team_id, email="ann@example.com")
    first = await shop.billing.call(invited)
    assert first.seat.expires_at is not None and first.seat.expires_at - first.seat.invited_at == 7 * DAY
    await shop.tick("seats", "expire_invitations", first.seat.expires_at + timedelta(seconds=1))
    look = s.GetInvitation(token=first.invitation_token or "")

    async def is_dead() -> bool:
        return (await shop.billing.answer(look)).status == "rejected"

    await eventually(is_dead)
    assert (await team_of(shop, team.subscription_id)).occupied == 2
    seat, _ = await claims(shop, await resent(shop, first.seat.seat_id))
    assert seat.seat_id == first.seat.seat_id


async def test_a_company_pays_outside_and_loses_its_seats_when_it_ends(shop: Shop) -> None:
    await shop.register(metadata={"billing_manager": "boss-1"})
    team = await opens(shop, 2, collection="none")
    assert team.billing_manager == Customer(type="user", id="boss-1")
    stranger = Customer(type="user", id="boss-2")
    command = s.AssignSeat(
        command_id=fresh_id("assign"), team_id=team.team_id, email="ann@example.com", acting_as=stranger
    )
    assert (await shop.refused(command))[0] == "not_billing_manager"
    raised = s.ChangeSeatCount(command_id=fresh_id("more"), team_id=team.team_id, quantity=4, when="now")
    assert (await shop.billing.call(raised)).team.available == 4
    bought = await shop.billing.ask(m.GetSubscription(subscription_id=team.subscription_id))
    assert bought.subscription.items[0].quantity == 4
