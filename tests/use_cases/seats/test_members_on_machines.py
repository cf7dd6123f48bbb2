"""Members that a license's machines report are seats in use, wherever seats are given back."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from services.seats.app import service
from services.seats.invitations.tokens import Invitations
from shared.messaging.service_client import ServiceClient
from shared.settings import CommonSettings
from tallystick.messages import seats as m
from tests.support.runtime import NOON, Bound
from tests.support.worlds.seats import SECRET, SUBSCRIPTION, SeatWorld, user

TOO_FEW = {"occupied": 18, "members_reported": 18, "quantity": 17}


@pytest.fixture
async def company(bind: Callable[..., Bound]) -> SeatWorld:
    """Twenty seats, two of them assigned, and eighteen members on two machines; no subscriptions to ask."""
    settings = CommonSettings(nats_url="nats://127.0.0.1:1")
    company = SeatWorld(bind(service, Invitations.of(SECRET), ServiceClient(settings, "seats")))
    await company.subscribed(20, owner_seat="none")
    for name in ("1", "2"):
        await company.does(await company.assign(member=user(name), immediate=True))
    await company.reports(11, 7, None, version=3)
    return company


async def own(company: SeatWorld) -> str:
    """The id of the team."""
    found: str = (await company.team())["team_id"]
    return found


async def test_a_team_says_how_many_are_in_use_and_where(company: SeatWorld) -> None:
    team = await company.team()
    assert (team["occupied"], team["members_reported"], team["seats_in_use"]) == (2, 18, 18)
    assert team["available"] == 18, "a member on a machine may be one who is given a seat"
    assert (await company.events("billing_team"))[-1] == ("changedV1", team)


async def test_subscriptions_cannot_hold_fewer_seats(company: SeatWorld) -> None:
    hold = m.HoldSeatCount(
        command_id="hold-1", subscription_id=SUBSCRIPTION, quantity=17, when="now", held_for="caller"
    )
    before = await company.team()
    assert await company.refuses(hold) == ("seats_in_use", TOO_FEW)
    without_seats = hold.model_copy(update={"command_id": "hold-2", "quantity": 0})
    assert (await company.refuses(without_seats))[0] == "seats_in_use"
    assert await company.team() == before
    await company.does(hold.model_copy(update={"command_id": "hold-3", "quantity": 18}))


async def test_the_number_of_seats_and_its_preview_are_refused(company: SeatWorld) -> None:
    change = m.ChangeSeatCount(command_id="fewer", team_id=await own(company), quantity=17)
    assert await company.refuses(change) == ("seats_in_use", TOO_FEW)
    preview = m.PreviewSeatChange(team_id=await own(company), quantity=17)
    assert await company.refuses(preview) == ("seats_in_use", TOO_FEW)


async def test_unused_seats_are_those_that_nobody_uses_anywhere(company: SeatWorld) -> None:
    command = m.RemoveUnusedSeats(command_id="unused", team_id=await own(company), when="now")
    # There is nobody to ask for the change; what is asked for stands already.
    assert (await company.bound.handle(command, company.now)).status == "failed"
    assert (await company.team())["change"]["quantity"] == 18


async def test_assigned_seats_count_where_they_are_more(company: SeatWorld) -> None:
    await company.reports(1, version=4)
    hold = m.HoldSeatCount(
        command_id="hold", subscription_id=SUBSCRIPTION, quantity=1, when="now", held_for="caller"
    )
    assert await company.refuses(hold) == (
        "seats_in_use",
        {"occupied": 2, "members_reported": 1, "quantity": 1},
    )


@pytest.mark.parametrize(
    "told",
    [{"version": 2}, {"version": 4, "subscription": None}, {"version": 4, "subscription": "sub_other"}],
)
async def test_what_is_old_or_about_another_license_changes_nothing(
    company: SeatWorld, told: dict[str, Any]
) -> None:
    before = await company.team()
    await company.reports(1, **told)
    assert await company.team() == before


async def test_an_ended_license_leaves_nobody_behind(company: SeatWorld) -> None:
    await company.reports(11, 7, version=4, status="expired", ended_at=NOON)
    team = await company.team()
    assert (team["members_reported"], team["seats_in_use"]) == (0, 2)


async def test_the_same_report_again_is_told_once(company: SeatWorld) -> None:
    before = await company.names("billing_team")
    await company.reports(11, 7, None, version=3)
    await company.reports(7, 11, version=4)
    assert await company.names("billing_team") == before


async def test_a_report_counts_whichever_is_heard_first_license_or_team(company: SeatWorld) -> None:
    await company.reports(9, version=1, subscription="sub_first")
    assert (await company.subscribed(20, subscription="sub_first"))["members_reported"] == 9
    names = [f"sub_{number}" for number in range(8)]
    await asyncio.gather(
        *(company.subscribed(20, subscription=name) for name in names),
        *(company.reports(5, version=1, subscription=name) for name in names),
    )
    teams = [await company.team(subscription_id=name) for name in names]
    assert [team["members_reported"] for team in teams] == [5] * 8
