"""Seat quota holds: a lower quantity is agreed with seats before, and held until the change is done."""

from collections.abc import Callable

import pytest

from services.seats.app import service
from services.seats.invitations.tokens import Invitations
from shared.messaging.service_client import ServiceClient
from shared.settings import CommonSettings
from tallystick.messages import seats as m
from tests.support.runtime import Bound
from tests.support.worlds.seats import SECRET, SUBSCRIPTION, SeatWorld, team_item, user


@pytest.fixture
def company(bind: Callable[..., Bound]) -> SeatWorld:
    """The seats service without subscriptions to ask."""
    settings = CommonSettings(nats_url="nats://127.0.0.1:1")
    return SeatWorld(bind(service, Invitations.of(SECRET), ServiceClient(settings, "seats")))


def hold(quantity: int, held_for: str = "caller-1", command_id: str = "hold-1") -> m.HoldSeatCount:
    """Return the hold that subscriptions sends before it lowers the quantity."""
    return m.HoldSeatCount(
        command_id=command_id,
        subscription_id=SUBSCRIPTION,
        quantity=quantity,
        when="now",
        held_for=held_for,
    )


def release(version: int, held_for: str = "caller-1", command_id: str = "release-1") -> m.ReleaseSeatCount:
    """Return the release that subscriptions sends afterwards."""
    return m.ReleaseSeatCount(
        command_id=command_id, subscription_id=SUBSCRIPTION, held_for=held_for, version=version
    )


async def seat(company: SeatWorld, number: int) -> m.AssignSeat:
    """Return a command that assigns a seat."""
    team = await company.team()
    return m.AssignSeat(
        command_id=f"seat-{number}", team_id=team["team_id"], member=user(str(number)), immediate=True
    )


async def test_nobody_gets_a_seat_that_is_about_to_go(company: SeatWorld) -> None:
    await company.subscribed(5)
    await company.does(await seat(company, 1))
    await company.does(hold(2))
    held = await company.team()
    assert (held["quantity"], held["available"], held["change"]["quantity"]) == (5, 1, 2)
    await company.does(await seat(company, 2))
    assert (await company.refuses(await seat(company, 3)))[0] == "no_seat_available"


async def test_fewer_than_are_taken_are_refused_with_how_many(company: SeatWorld) -> None:
    await company.subscribed(5)
    for number in (1, 2, 3):
        await company.does(await seat(company, number))
    before = await company.team()
    assert await company.refuses(hold(2)) == (
        "seats_in_use",
        {"occupied": 3, "members_reported": 0, "quantity": 2},
    )
    assert await company.team() == before


async def test_the_hold_ends_once_the_subscriptions_change_is_known(company: SeatWorld) -> None:
    await company.subscribed(5)
    await company.does(hold(2))
    early = await company.bound.handle(release(version=2), company.now)
    assert early.status == "failed"
    assert (await company.team())["available"] == 2
    await company.tells(items=[team_item(2)])
    await company.does(release(version=2))
    after = await company.team()
    assert (after["quantity"], after["available"], after["change"]) == (2, 2, None)


async def test_a_refusal_elsewhere_puts_everything_back(company: SeatWorld) -> None:
    await company.subscribed(5)
    await company.does(hold(2))
    await company.does(release(version=0))
    after = await company.team()
    assert (after["quantity"], after["available"], after["change"]) == (5, 5, None)


async def test_one_change_at_a_time_and_each_ends_its_own_alone(company: SeatWorld) -> None:
    await company.subscribed(5)
    await company.does(hold(2))
    other = await company.bound.handle(hold(3, "caller-2", "hold-2"), company.now)
    assert other.status == "failed"
    await company.does(release(0, "caller-2", "release-2"))
    assert (await company.team())["change"]["quantity"] == 2


async def test_a_subscription_without_a_team_is_held_to_nothing(company: SeatWorld) -> None:
    assert (await company.does(hold(2)))["team_id"] is None
    assert (await company.does(release(version=0)))["team_id"] is None
