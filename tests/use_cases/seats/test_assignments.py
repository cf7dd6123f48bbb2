"""Seats from the invitation to the claim: single and bulk assignment, claims, and renewed invitations."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import orjson
import pytest

from services.seats.app import service
from services.seats.invitations.tokens import Invitations
from shared.messaging.service_client import ServiceClient
from shared.settings import CommonSettings
from tallystick.messages import seats as m
from tests.support.runtime import Bound
from tests.support.worlds.seats import ACME, SECRET, SeatWorld, user

NATS_MAX_PAYLOAD_BYTES = 1_048_576
"""`max_payload` in deploy/nats.conf."""


@pytest.fixture
def company(bind: Callable[..., Bound]) -> SeatWorld:
    """The seats service without subscriptions to ask."""
    settings = CommonSettings(nats_url="nats://127.0.0.1:1")
    return SeatWorld(bind(service, Invitations.of(SECRET), ServiceClient(settings, "seats")))


async def test_five_bought_seats_make_room_for_five_beside_the_owner(company: SeatWorld) -> None:
    team = await company.subscribed(5)
    assert (team["capacity"], team["occupied"], team["available"]) == (6, 1, 5)
    for number in range(5):
        await company.invites(f"member{number}@example.com")
    code, details = await company.refuses(await company.assign("sixth@example.com"))
    assert (code, details) == ("no_seat_available", {"quantity": 5, "occupied": 6})
    assert (await company.team())["available"] == 0


async def test_only_the_caller_sees_the_token_of_an_assigned_seat(company: SeatWorld) -> None:
    team = await company.subscribed(5)
    company.passes(hours=1)
    invited = await company.invites(" Member@Example.COM ", role="editor", metadata={"department": "press"})
    seat = invited["seat"]
    assert (seat["status"], seat["email"], seat["version"]) == ("pending", "member@example.com", 1)
    assert (seat["team_id"], seat["multiplier"], seat["role"]) == (team["team_id"], 1, "editor")
    assert seat["invited_at"] == "2026-01-15T13:00:00Z"
    assert seat["expires_at"] == "2026-01-22T13:00:00Z"
    assert len(invited["invitation_token"]) == 43
    assert await company.events("seat") == [("assignedV1", seat)]
    told = (await company.events("billing_team"))[-1]
    assert told[0] == "changedV1"
    assert (told[1]["version"], told[1]["occupied"], told[1]["available"]) == (2, 2, 4)


async def test_a_repeated_command_shows_the_same_token_again(company: SeatWorld) -> None:
    await company.subscribed(5)
    command = await company.assign("member@example.com")
    first, second = await company.does(command), await company.does(command)
    assert first == second and first["invitation_token"]
    assert len(await company.seats()) == 1


async def test_no_token_is_stored_anywhere(company: SeatWorld) -> None:
    team = await company.subscribed(5)
    tokens = [(await company.invites("one@example.com"))["invitation_token"]]
    many = m.AssignSeats(
        command_id=company.command_id(),
        team_id=team["team_id"],
        seats=[m.SeatToAssign(email="two@example.com"), m.SeatToAssign(email="three@example.com")],
    )
    assigned = (await company.does(many))["assigned"]
    tokens += [one["invitation_token"] for one in assigned]
    seat_id = assigned[0]["seat"]["seat_id"]
    resend = m.ResendInvitation(command_id=company.command_id(), seat_id=seat_id)
    tokens.append((await company.does(resend))["invitation_token"])
    await company.does(company.claim(tokens[0], "7"))
    assert len(set(tokens)) == 4
    assert await company.refuses(company.claim(tokens[1], "8")) == ("invitation_invalid", {})
    for table in ("inbox", "outbox", "seats", "teams"):
        rows = await company.bound.rows(f"SELECT * FROM seats.{table}")
        assert rows
        for token in tokens:
            assert not [row for row in rows if token in str(row) or token.encode() in str(row).encode()]


async def test_whoever_has_a_seat_gets_no_second_one(company: SeatWorld) -> None:
    await company.subscribed(5)
    await company.invites("member@example.com", member=user("7"))
    code, details = await company.refuses(await company.assign("MEMBER@example.com "))
    assert (code, details) == ("seat_already_assigned", {"email": "member@example.com"})
    code, details = await company.refuses(await company.assign("other@example.com", member=user("7")))
    assert (code, details) == ("seat_already_assigned", {"member": "7"})


async def test_the_owner_gets_no_seat_beside_the_owners(company: SeatWorld) -> None:
    await company.subscribed(5, customer=user("1"))
    code, _ = await company.refuses(await company.assign(member=user("1")))
    assert code == "seat_already_assigned"
    token = (await company.invites("boss@example.com"))["invitation_token"]
    assert (await company.refuses(company.claim(token, "1")))[0] == "seat_already_assigned"


async def test_an_owner_without_a_seat_can_be_given_one_like_anybody(company: SeatWorld) -> None:
    await company.subscribed(1, customer=user("7"), owner_seat="none")
    await company.does(await company.assign(member=user("7"), immediate=True))
    assert (await company.team())["occupied"] == 1
    assert (await company.refuses(await company.assign(member=user("7"))))[0] == "seat_already_assigned"


async def test_a_malformed_address_gets_no_seat(company: SeatWorld) -> None:
    await company.subscribed(1)
    assert (await company.refuses(await company.assign("nobody")))[0] == "invalid_email"
    assert (await company.refuses(await company.assign("")))[0] == "invalid_email"


async def test_nobody_at_all_is_a_malformed_message(company: SeatWorld) -> None:
    team = await company.subscribed(1)
    body = b'{"command_id": "c", "team_id": "%s"}' % team["team_id"].encode()
    outcome = await company.bound.handle_body("assign_seat", body)
    assert outcome.error is not None and outcome.error.code == "invalid_message"


async def test_a_known_member_can_have_the_seat_at_once(company: SeatWorld) -> None:
    await company.subscribed(5)
    given = await company.does(await company.assign(member=user("7"), immediate=True))
    seat = given["seat"]
    assert (seat["status"], seat["member"]["id"], seat["version"]) == ("claimed", "7", 2)
    assert given["invitation_token"] is None and seat["expires_at"] is None
    assert await company.names("seat") == ["assignedV1", "claimedV1"]
    memberships = await company.asks(m.ListMemberships(member=user("7")))
    assert [one["seat"]["seat_id"] for one in memberships["items"]] == [seat["seat_id"]]


async def test_multipliers_are_for_teams_with_units_for_each_seat(company: SeatWorld) -> None:
    await company.subscribed(5, strategy="per_team")
    command = await company.assign("member@example.com", multiplier=2)
    assert (await company.refuses(command))[0] == "multiplier_not_supported"
    seat = (await company.invites("member@example.com"))["seat"]
    change = m.SetSeatMultiplier(command_id=company.command_id(), seat_id=seat["seat_id"], multiplier=2)
    assert (await company.refuses(change))[0] == "multiplier_not_supported"


async def test_a_changed_multiplier_is_told_once(company: SeatWorld) -> None:
    await company.subscribed(5)
    seat = (await company.invites("member@example.com"))["seat"]
    for _ in range(2):
        change = m.SetSeatMultiplier(command_id=company.command_id(), seat_id=seat["seat_id"], multiplier=2)
        changed = (await company.does(change))["seat"]
        assert (changed["multiplier"], changed["version"]) == (2, 2)
    assert await company.names("seat") == ["assignedV1", "multiplierChangedV1"]


async def test_a_bulk_assignment_names_bad_seats_by_index(company: SeatWorld) -> None:
    team = await company.subscribed(5)
    emails = ["a@example.com", "b", "c", "d", "e@example.com", "f", "g", "h", "i", "j"]
    seats = [m.SeatToAssign(email=email) for email in emails]
    command = m.AssignSeats(command_id=company.command_id(), team_id=team["team_id"], seats=seats)
    result = await company.does(command)
    assert [one["index"] for one in result["assigned"]] == [0, 4]
    assert [(one["index"], one["code"]) for one in result["errors"]] == [
        (index, "invalid_email") for index in (1, 2, 3, 5, 6, 7, 8, 9)
    ]
    assert (await company.team())["occupied"] == 3
    assert await company.names("billing_team") == ["openedV1", "changedV1"]


async def test_500_full_seats_fit_into_one_command_and_answer(
    company: SeatWorld,
) -> None:
    team = await company.subscribed(500)
    domain = ".".join(["d" * 60] * 3)
    seats = [
        m.SeatToAssign(
            email=f"{number:0>64}@{domain}.com",
            member=user(f"{number:0>64}"),
            role="r" * m.ROLE_MAX_CHARACTERS,
            metadata={f"key-{key}": "v" * 97 for key in range(10)},
        )
        for number in range(m.ASSIGN_MAX_SEATS)
    ]
    done = await company.does(
        m.AssignSeats(command_id="c" * 128, team_id=team["team_id"], seats=seats, requested_by="r" * 1000)
    )
    assert (len(done["assigned"]), done["errors"]) == (500, [])
    assert len(orjson.dumps(done)) < NATS_MAX_PAYLOAD_BYTES


async def test_of_too_many_the_first_come_are_served(company: SeatWorld) -> None:
    team = await company.subscribed(2)
    seats = [m.SeatToAssign(email=f"{name}@example.com") for name in ("a", "A", "b", "c")]
    command = m.AssignSeats(command_id=company.command_id(), team_id=team["team_id"], seats=seats)
    result = await company.does(command)
    assert [one["seat"]["email"] for one in result["assigned"]] == ["a@example.com", "b@example.com"]
    assert [(one["index"], one["code"]) for one in result["errors"]] == [
        (1, "seat_already_assigned"),
        (3, "no_seat_available"),
    ]


async def test_five_at_once_for_one_free_seat(company: SeatWorld) -> None:
    await company.subscribed(1)
    commands = [await company.assign(f"member{number}@example.com") for number in range(5)]
    outcomes = await asyncio.gather(*(company.bound.handle(command) for command in commands))
    assert sorted(outcome.status for outcome in outcomes) == ["rejected"] * 4 + ["succeeded"]
    assert {outcome.error.code for outcome in outcomes if outcome.error} == {"no_seat_available"}
    assert (await company.team())["available"] == 0


async def test_one_address_invited_five_times_at_once_has_one_seat(company: SeatWorld) -> None:
    await company.subscribed(5)
    commands = [await company.assign("member@example.com") for _ in range(5)]
    outcomes = await asyncio.gather(*(company.bound.handle(command) for command in commands))
    assert sorted(outcome.status for outcome in outcomes) == ["rejected"] * 4 + ["succeeded"]
    assert len(await company.seats()) == 1


async def test_the_invited_address_may_be_typed_in_any_case(company: SeatWorld) -> None:
    await company.subscribed(5)
    token = (await company.invites("member@example.com"))["invitation_token"]
    company.passes(days=1)
    claimed = await company.does(company.claim(token, "7", " Member@Example.com"))
    assert (claimed["seat"]["status"], claimed["seat"]["member"]["id"]) == ("claimed", "7")
    assert claimed["seat"]["claimed_at"] == "2026-01-16T12:00:00Z"
    assert claimed["team"] == await company.team()
    assert await company.names("seat") == ["assignedV1", "claimedV1"]


async def test_another_address_cannot_claim(company: SeatWorld) -> None:
    await company.subscribed(5)
    token = (await company.invites("member@example.com"))["invitation_token"]
    assert (await company.refuses(company.claim(token, "7", "other@example.com")))[0] == "email_mismatch"
    assert (await company.seats())[0]["status"] == "pending"
    await company.does(company.claim(token, "7", "member@example.com"))


async def test_an_invitation_made_out_to_a_user_is_for_them_alone(company: SeatWorld) -> None:
    await company.subscribed(5)
    token = (await company.does(await company.assign(member=user("7"))))["invitation_token"]
    assert (await company.refuses(company.claim(token, "8")))[0] == "email_mismatch"
    company.passes(days=8)
    assert (await company.refuses(company.claim(token, "8")))[0] == "invitation_invalid"
    assert (await company.refuses(company.claim(token, "7")))[0] == "invitation_expired"


async def test_all_invalid_tokens_get_the_same_answer(
    company: SeatWorld,
) -> None:
    await company.subscribed(9)
    used, expired, revoked, replaced, resent = [
        await company.invites(f"{name}@example.com") for name in ("used", "late", "out", "passed", "again")
    ]
    await company.does(company.claim(used["invitation_token"], "1"))
    seats = {name: one["seat"]["seat_id"] for name, one in [("out", revoked), ("passed", replaced)]}
    await company.does(m.RevokeSeat(command_id=company.command_id(), seat_id=seats["out"]))
    new_holder = m.ReplaceSeat(
        command_id=company.command_id(), seat_id=seats["passed"], email="new@example.com"
    )
    await company.does(new_holder)
    company.passes(days=7)
    again = m.ResendInvitation(command_id=company.command_id(), seat_id=resent["seat"]["seat_id"])
    await company.does(again)
    dead = [one["invitation_token"] for one in (used, expired, revoked, replaced, resent)]
    answers = set()
    for token in [*dead, "invented", "", "../*>", dead[0].lower()]:
        outcome = await company.bound.handle(company.claim(token, "9"), company.now)
        assert outcome.error is not None
        answers.add(outcome.error.model_dump_json())
        looked = await company.bound.handle(m.GetInvitation(token=token), company.now)
        assert looked.error is not None
        answers.add(looked.error.model_dump_json())
    assert len(answers) == 1 and "invitation_invalid" in answers.pop()


async def test_an_invitation_is_good_for_seven_days_to_the_second(company: SeatWorld) -> None:
    await company.subscribed(5)
    token = (await company.invites("member@example.com"))["invitation_token"]
    company.passes(days=7, seconds=-1)
    assert (await company.asks(m.GetInvitation(token=token)))["invitation"]["email"] == "member@example.com"
    company.passes(seconds=1)
    assert (await company.refuses(m.GetInvitation(token=token)))[0] == "invitation_invalid"
    assert (await company.refuses(company.claim(token, "7")))[0] == "invitation_invalid"


async def test_looking_at_an_invitation_changes_nothing(company: SeatWorld) -> None:
    await company.subscribed(5)
    invited = await company.invites("member@example.com", role="editor")
    before = await company.bound.feed()
    found = (await company.asks(m.GetInvitation(token=invited["invitation_token"])))["invitation"]
    assert (found["customer"], found["role"]) == (ACME.model_dump(), "editor")
    assert await company.bound.feed() == before
    await company.does(company.claim(invited["invitation_token"], "7"))


async def test_a_token_claimed_five_times_at_once_is_used_once(company: SeatWorld) -> None:
    await company.subscribed(5)
    token = (await company.invites("member@example.com"))["invitation_token"]
    claims = [company.claim(token, str(number)) for number in range(5)]
    outcomes = await asyncio.gather(*(company.bound.handle(claim) for claim in claims))
    assert sorted(outcome.status for outcome in outcomes) == ["rejected"] * 4 + ["succeeded"]
    assert {outcome.error.code for outcome in outcomes if outcome.error} == {"invitation_invalid"}


async def test_a_user_with_two_invitations_claims_one_seat(
    company: SeatWorld,
) -> None:
    await company.subscribed(5)
    tokens = [(await company.invites(f"{name}@example.com"))["invitation_token"] for name in "ab"]
    claims = [company.claim(token, "7") for token in tokens]
    outcomes = await asyncio.gather(*(company.bound.handle(claim) for claim in claims))
    assert sorted(outcome.status for outcome in outcomes) == ["rejected", "succeeded"]
    assert {outcome.error.code for outcome in outcomes if outcome.error} == {"seat_already_assigned"}


async def test_an_expired_invitation_can_be_sent_again(company: SeatWorld) -> None:
    await company.subscribed(5)
    first = await company.invites("member@example.com")
    company.passes(days=9)
    await company.bound.tick("expire_invitations", company.now)
    assert (await company.team())["occupied"] == 2
    again = m.ResendInvitation(command_id=company.command_id(), seat_id=first["seat"]["seat_id"])
    second = await company.does(again)
    assert second["seat"]["expires_at"] == "2026-01-31T12:00:00Z"
    assert second["invitation_token"] != first["invitation_token"]
    assert (await company.refuses(company.claim(first["invitation_token"], "7")))[0] == "invitation_invalid"
    await company.does(company.claim(second["invitation_token"], "7"))
    assert await company.names("seat") == ["assignedV1", "invitationResentV1", "claimedV1"]
    assert (await company.refuses(again.model_copy(update={"command_id": "late"})))[0] == "seat_not_pending"


async def test_the_tick_ends_what_is_due_by_its_time_and_nothing_else(company: SeatWorld) -> None:
    await company.subscribed(5)
    first = (await company.invites("first@example.com"))["invitation_token"]
    company.passes(days=1)
    second = (await company.invites("second@example.com"))["invitation_token"]
    await company.bound.tick("expire_invitations", company.now + timedelta(days=6))
    assert (await company.refuses(company.claim(first, "1")))[0] == "invitation_invalid"
    await company.does(company.claim(second, "2"))
