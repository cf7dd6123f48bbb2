"""Revoking and replacing seats, permissions for a team, missing teams and seats, and listings."""

from collections.abc import Callable
from typing import Any

import pytest

from services.seats.app import service
from services.seats.invitations.tokens import Invitations
from shared.messaging.service_client import ServiceClient
from shared.settings import CommonSettings
from tallystick.messages import seats as m
from tallystick.messages.base import Command, Question
from tests.support.runtime import Bound
from tests.support.worlds.seats import ACME, SECRET, SeatWorld, user


@pytest.fixture
def company(bind: Callable[..., Bound]) -> SeatWorld:
    """The seats service without subscriptions to ask."""
    settings = CommonSettings(nats_url="nats://127.0.0.1:1")
    return SeatWorld(bind(service, Invitations.of(SECRET), ServiceClient(settings, "seats")))


async def test_a_revoked_seats_address_can_be_invited_again(
    company: SeatWorld,
) -> None:
    await company.subscribed(1)
    seat = await company.has("member@example.com", "7")
    company.passes(days=1)
    for _ in range(2):
        revoke = m.RevokeSeat(command_id=company.command_id(), seat_id=seat["seat_id"])
        revoked = (await company.does(revoke))["seat"]
        assert (revoked["status"], revoked["revoked_at"]) == ("revoked", "2026-01-16T12:00:00Z")
    assert await company.names("seat") == ["assignedV1", "claimedV1", "revokedV1"]
    assert (await company.asks(m.ListMemberships(member=user("7"))))["items"] == []
    team = await company.team()
    assert (team["quantity"], team["available"], team["occupied"]) == (1, 1, 1)
    again = await company.has("member@example.com", "7")
    assert again["seat_id"] != seat["seat_id"]


async def test_a_claimed_seat_is_passed_on_to_a_user_at_once(company: SeatWorld) -> None:
    await company.subscribed(1)
    seat = await company.has("old@example.com", "7", multiplier=2)
    replace = m.ReplaceSeat(command_id=company.command_id(), seat_id=seat["seat_id"], member=user("8"))
    replaced = await company.does(replace)
    assert (replaced["seat"]["seat_id"], replaced["seat"]["status"]) == (seat["seat_id"], "claimed")
    assert (replaced["seat"]["member"]["id"], replaced["seat"]["email"]) == ("8", None)
    assert replaced["seat"]["multiplier"] == 2 and replaced["invitation_token"] is None
    assert (await company.asks(m.ListMemberships(member=user("7"))))["items"] == []
    assert len((await company.asks(m.ListMemberships(member=user("8"))))["items"]) == 1
    await company.does(replace.model_copy(update={"command_id": "again"}))
    assert await company.names("seat") == ["assignedV1", "claimedV1", "replacedV1"]


async def test_a_seat_passed_on_to_an_address_waits_for_its_claim(company: SeatWorld) -> None:
    await company.subscribed(1)
    seat = await company.has("old@example.com", "7")
    replace = m.ReplaceSeat(command_id=company.command_id(), seat_id=seat["seat_id"], email="new@example.com")
    replaced = await company.does(replace)
    assert (replaced["seat"]["status"], replaced["seat"]["member"]) == ("pending", None)
    assert replaced["seat"]["claimed_at"] is None and replaced["seat"]["expires_at"] is not None
    claimed = await company.does(company.claim(replaced["invitation_token"], "8", "new@example.com"))
    assert claimed["seat"]["seat_id"] == seat["seat_id"]
    assert (await company.team())["occupied"] == 2


async def test_a_seat_is_not_passed_on_to_who_has_one_or_after_its_end(company: SeatWorld) -> None:
    await company.subscribed(5)
    first = await company.has("first@example.com", "1")
    await company.has("second@example.com", "2")
    replace = m.ReplaceSeat(command_id=company.command_id(), seat_id=first["seat_id"], member=user("2"))
    assert (await company.refuses(replace))[0] == "seat_already_assigned"
    replace = m.ReplaceSeat(
        command_id=company.command_id(), seat_id=first["seat_id"], email="Second@example.com"
    )
    assert (await company.refuses(replace))[0] == "seat_already_assigned"
    await company.does(m.RevokeSeat(command_id=company.command_id(), seat_id=first["seat_id"]))
    replace = m.ReplaceSeat(command_id=company.command_id(), seat_id=first["seat_id"], member=user("3"))
    assert (await company.refuses(replace))[0] == "seat_revoked"


async def test_unknown_seats_and_teams_are_not_found(company: SeatWorld) -> None:
    commands: list[Command[Any]] = [
        m.RevokeSeat(command_id="1", seat_id="seat_0"),
        m.ResendInvitation(command_id="2", seat_id="seat_0"),
        m.ReplaceSeat(command_id="3", seat_id="seat_0", member=user("1")),
        m.SetSeatMultiplier(command_id="4", seat_id="seat_0", multiplier=2),
        m.AssignSeat(command_id="5", team_id="team_0", email="a@example.com"),
        m.AssignSeats(command_id="6", team_id="team_0", seats=[m.SeatToAssign(email="a@example.com")]),
        m.TransferBillingManager(command_id="7", team_id="team_0", member=user("1")),
        m.ChangeSeatCount(command_id="8", team_id="team_0", quantity=2),
        m.RemoveUnusedSeats(command_id="9", team_id="team_0"),
    ]
    for command in commands:
        assert (await company.refuses(command))[0] == "not_found"
    questions: list[Question[Any]] = [
        m.GetTeam(team_id="team_0"),
        m.ListSeats(team_id="team_0"),
        m.MemberPayments(team_id="team_0"),
        m.PreviewSeatChange(team_id="team_0", quantity=2),
    ]
    for question in questions:
        assert (await company.refuses(question))[0] == "not_found"


async def test_only_the_manager_acts_for_a_team(company: SeatWorld) -> None:
    team = await company.subscribed(5)
    team_id = team["team_id"]
    seat_id = (await company.invites("member@example.com"))["seat"]["seat_id"]
    transfer = m.TransferBillingManager(
        command_id=company.command_id(), team_id=team_id, member=user("1"), acting_as=ACME
    )
    managed = (await company.does(transfer))["team"]
    assert managed["billing_manager"] == {"type": "user", "id": "1"}
    commands: list[Command[Any]] = [
        m.AssignSeat(command_id="1", team_id=team_id, email="a@example.com", acting_as=ACME),
        m.AssignSeats(
            command_id="2",
            team_id=team_id,
            seats=[m.SeatToAssign(email="a@example.com")],
            acting_as=user("2"),
        ),
        m.RevokeSeat(command_id="3", seat_id=seat_id, acting_as=user("2")),
        m.ResendInvitation(command_id="4", seat_id=seat_id, acting_as=user("2")),
        m.ReplaceSeat(command_id="5", seat_id=seat_id, member=user("3"), acting_as=user("2")),
        m.SetSeatMultiplier(command_id="6", seat_id=seat_id, multiplier=2, acting_as=user("2")),
        m.TransferBillingManager(command_id="7", team_id=team_id, member=user("2"), acting_as=user("2")),
        m.ChangeSeatCount(command_id="8", team_id=team_id, quantity=2, acting_as=user("2")),
        m.RemoveUnusedSeats(command_id="9", team_id=team_id, acting_as=user("2")),
    ]
    for command in commands:
        assert (await company.refuses(command))[0] == "not_billing_manager"
    assert (await company.team())["version"] == managed["version"]
    await company.invites("a@example.com", acting_as=user("1"))


async def test_lists_are_paged_newest_first(company: SeatWorld) -> None:
    team = await company.subscribed(10)
    seats = [m.SeatToAssign(email=f"member{number}@example.com") for number in range(7)]
    await company.does(m.AssignSeats(command_id=company.command_id(), team_id=team["team_id"], seats=seats))
    found, cursor = [], None
    for length in (3, 3, 1):
        page = await company.asks(m.ListSeats(team_id=team["team_id"], limit=3, cursor=cursor))
        assert len(page["items"]) == length
        found += [seat["email"] for seat in page["items"]]
        cursor = page["next_cursor"]
    assert cursor is None
    assert found == [f"member{number}@example.com" for number in reversed(range(7))]
    assert await company.seats("claimed") == []
    assert len(await company.seats("pending")) == 7


async def test_teams_are_listed_of_one_customer_or_of_all(company: SeatWorld) -> None:
    teams = [await company.subscribed(2, subscription=f"sub_of{number}") for number in range(3)]
    found, cursor = [], None
    for length in (2, 1):
        page = await company.asks(m.ListTeams(limit=2, cursor=cursor))
        assert len(page["items"]) == length
        found += [team["team_id"] for team in page["items"]]
        cursor = page["next_cursor"]
    assert cursor is None
    assert found == [team["team_id"] for team in reversed(teams)]
    own = await company.asks(m.ListTeams(customer=ACME, limit=200))
    assert [team["team_id"] for team in own["items"]] == found
    assert (await company.asks(m.ListTeams(customer=user("nobody"))))["items"] == []


async def test_memberships_list_claimed_seats_newest_first(company: SeatWorld) -> None:
    seats = []
    for number in range(4):
        team = await company.subscribed(2, subscription=f"sub_of{number}")
        fields = {"team_id": team["team_id"], "member": user("7"), "immediate": True}
        seats.append((await company.does(await company.assign(**fields)))["seat"])
        await company.does(await company.assign("other@example.com", team_id=team["team_id"]))
    await company.does(m.RevokeSeat(command_id="revoke", seat_id=seats.pop(1)["seat_id"]))
    found, cursor = [], None
    for length in (2, 1):
        page = await company.asks(m.ListMemberships(member=user("7"), limit=2, cursor=cursor))
        assert len(page["items"]) == length
        found += page["items"]
        cursor = page["next_cursor"]
    assert cursor is None
    assert [one["seat"] for one in found] == seats[::-1]
    assert [one["team"]["team_id"] for one in found] == [seat["team_id"] for seat in seats[::-1]]
