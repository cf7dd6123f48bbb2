"""Teams follow their subscriptions: opened, grown, suspended and restored, closed, in any order."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from services.seats.app import service
from services.seats.invitations.tokens import Invitations
from shared.messaging.service_client import ServiceClient
from shared.settings import CommonSettings
from tallystick.messages import seats as m
from tallystick.messages import subscriptions as s
from tests.support.runtime import Bound
from tests.support.worlds.seats import ACME, PERIOD_END, SECRET, SUBSCRIPTION, SeatWorld, team_item, user


@pytest.fixture
def company(bind: Callable[..., Bound]) -> SeatWorld:
    """The seats service without subscriptions to ask."""
    settings = CommonSettings(nats_url="nats://127.0.0.1:1")
    return SeatWorld(bind(service, Invitations.of(SECRET), ServiceClient(settings, "seats")))


def customer_event(version: int, **metadata: str) -> s.CustomerEvent:
    """Return an event about the customer Acme."""
    snapshot = s.CustomerSnapshot(
        type="organization",
        id="acme",
        customer_id="cus_acme",
        version=version,
        email="pay@acme.example",
        name=None,
        metadata=metadata,
        stripe_customer_id=None,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return s.CustomerEvent(
        event_id=f"evt_customer_{version}",
        occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
        version=version,
        caused_by="test",
        customer=snapshot,
    )


async def test_a_team_is_opened_for_a_subscription_with_seats(company: SeatWorld) -> None:
    team = await company.subscribed(5)
    assert (team["version"], team["status"], team["suspended"]) == (1, "open", False)
    assert (team["strategy"], team["owner_seat"], team["quantity"]) == ("per_seat", "free", 5)
    assert (team["customer"], team["billing_manager"]) == (ACME.model_dump(), ACME.model_dump())
    assert await company.events("billing_team") == [("openedV1", team)]
    assert await company.team(customer=ACME) == team == await company.team(team_id=team["team_id"])


@pytest.mark.parametrize(
    ("owner_seat", "capacity", "occupied", "available"),
    [("free", 4, 1, 3), ("billed", 3, 1, 2), ("none", 3, 0, 3)],
)
async def test_the_owners_seat_is_on_top_one_of_those_or_none(
    company: SeatWorld, owner_seat: str, capacity: int, occupied: int, available: int
) -> None:
    team = await company.subscribed(3, owner_seat=owner_seat)
    assert (team["capacity"], team["occupied"], team["available"]) == (capacity, occupied, available)
    for number in range(available):
        await company.invites(f"member{number}@example.com")
    assert (await company.refuses(await company.assign("more@example.com")))[0] == "no_seat_available"


async def test_no_team_for_a_seatless_or_unstarted_subscription(company: SeatWorld) -> None:
    await company.subscribed(5)
    plain = s.SubscriptionItem(
        product="solo", price="solo_monthly", quantity=1, seats=None, features=[], stripe_price_id=None
    )
    other = company.told[SUBSCRIPTION].model_copy(update={"subscription_id": "sub_solo", "items": [plain]})
    await company.hears(other, "created")
    assert (await company.refuses(m.GetTeam(subscription_id="sub_solo")))[0] == "not_found"
    late = company.told[SUBSCRIPTION].model_copy(
        update={"subscription_id": "sub_late", "status": "incomplete"}
    )
    await company.hears(late, "created")
    assert (await company.refuses(m.GetTeam(subscription_id="sub_late")))[0] == "not_found"
    await company.tells("activated", subscription="sub_late", status="active")
    assert (await company.team(subscription_id="sub_late"))["status"] == "open"


async def test_more_seats_make_more_room_and_nothing_new_is_not_told(company: SeatWorld) -> None:
    await company.subscribed(5)
    await company.tells("changed", items=[team_item(8)])
    assert (await company.team())["available"] == 8
    await company.tells("renewed", current_period_start=PERIOD_END)
    assert await company.names("billing_team") == ["openedV1", "changedV1"]


async def test_a_lowered_count_that_waits_limits_new_seats_already(company: SeatWorld) -> None:
    await company.subscribed(5)
    for number in range(2):
        await company.invites(f"member{number}@example.com")
    waiting = s.ScheduledChange(product="team", price="team_monthly", quantity=3, at=PERIOD_END)
    await company.tells("changeScheduled", scheduled_change=waiting)
    team = await company.team()
    assert (team["quantity"], team["scheduled_quantity"], team["available"]) == (5, 3, 1)
    await company.invites("third@example.com")
    assert (await company.refuses(await company.assign("fourth@example.com")))[0] == "no_seat_available"
    await company.tells("updated", scheduled_change=None)
    await company.invites("fourth@example.com")


async def test_surplus_seats_after_a_lower_count_stay(
    company: SeatWorld,
) -> None:
    await company.subscribed(3)
    invited = [await company.invites(f"member{number}@example.com") for number in range(3)]
    await company.tells("changed", items=[team_item(1)])
    team = await company.team()
    assert (team["capacity"], team["occupied"], team["available"]) == (2, 4, 0)
    for one in invited[:2]:
        await company.does(m.RevokeSeat(command_id=company.command_id(), seat_id=one["seat"]["seat_id"]))
        assert (await company.refuses(await company.assign("new@example.com")))[0] == "no_seat_available"
    await company.does(m.RevokeSeat(command_id=company.command_id(), seat_id=invited[2]["seat"]["seat_id"]))
    await company.invites("new@example.com")


@pytest.mark.parametrize(
    "trouble", [{"status": "past_due", "restricted": True}, {"status": "unpaid"}, {"status": "paused"}]
)
async def test_a_suspended_team_keeps_its_seats_and_is_restored(
    company: SeatWorld, trouble: dict[str, Any]
) -> None:
    await company.subscribed(5)
    await company.has("member@example.com", "7")
    await company.tells("pastDue", status="past_due")
    assert not (await company.team())["suspended"]
    await company.tells("restricted", **trouble)
    team = await company.team()
    assert team["suspended"] and team["status"] == "open" and team["occupied"] == 2
    assert [seat["status"] for seat in await company.seats()] == ["claimed"]
    await company.tells("recovered", status="active", restricted=False)
    assert not (await company.team())["suspended"]
    names = await company.names("billing_team")
    assert names == ["openedV1", "changedV1", "suspendedV1", "restoredV1"]


async def test_the_end_revokes_every_seat_in_one_event_each(company: SeatWorld) -> None:
    await company.subscribed(5)
    await company.has("claimed@example.com", "7")
    token = (await company.invites("pending@example.com"))["invitation_token"]
    gone = await company.has("gone@example.com", "8")
    await company.does(m.RevokeSeat(command_id=company.command_id(), seat_id=gone["seat_id"]))
    await company.tells("cancelScheduled", cancel_at_period_end=True)
    assert (await company.team())["occupied"] == 3
    company.passes(days=16)
    await company.tells("canceled", status="canceled", ended_at=PERIOD_END)
    team = await company.team()
    assert (team["status"], team["occupied"], team["available"]) == ("closed", 0, 0)
    assert team["closed_at"] == "2026-01-31T12:00:00Z"
    assert {seat["status"] for seat in await company.seats()} == {"revoked"}
    told = await company.events("seat")
    revoked = [snapshot["seat_id"] for name, snapshot in told if name == "revokedV1"]
    assert len(revoked) == len(set(revoked)) == 3
    assert all(snapshot["expires_at"] is None for name, snapshot in told if name == "revokedV1")
    assert (await company.names("billing_team"))[-1] == "closedV1"
    assert (await company.refuses(company.claim(token, "9")))[0] == "invitation_invalid"
    assert (await company.refuses(await company.assign("new@example.com")))[0] == "team_closed"
    many = m.AssignSeats(
        command_id="many", team_id=team["team_id"], seats=[m.SeatToAssign(email="new@example.com")]
    )
    assert (await company.refuses(many))[0] == "team_closed"
    transfer = m.TransferBillingManager(command_id="t", team_id=team["team_id"], member=user("1"))
    assert (await company.refuses(transfer))[0] == "team_closed"


async def test_more_seats_than_fit_one_transaction_are_all_revoked(
    company: SeatWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.seats.projections.subscription_projection.REVOKE_BATCH_SEATS", 2)
    await company.subscribed(5)
    for number in range(4):
        await company.invites(f"member{number}@example.com")
    await company.tells("canceled", status="canceled")
    assert {seat["status"] for seat in await company.seats()} == {"revoked"}
    assert (await company.names("billing_team"))[-3:] == ["changedV1", "changedV1", "closedV1"]


async def test_an_interrupted_close_is_finished_on_redelivery(
    company: SeatWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    await company.subscribed(5)
    token = (await company.invites("member@example.com"))["invitation_token"]
    with monkeypatch.context() as crashing:
        crashing.setattr("services.seats.projections.subscription_projection.close_teams", _crash)
        with pytest.raises(ConnectionResetError):
            await company.tells("canceled", status="canceled")
    assert (await company.refuses(await company.assign("new@example.com")))[0] == "team_closed"
    assert (await company.refuses(company.claim(token, "7")))[0] == "invitation_invalid"
    await company.hears(company.told[SUBSCRIPTION], "canceled")
    assert (await company.team())["status"] == "closed"
    assert {seat["status"] for seat in await company.seats()} == {"revoked"}


async def _crash(*_: Any) -> None:
    raise ConnectionResetError


async def test_plans_without_and_with_seats_close_and_open_teams(
    company: SeatWorld,
) -> None:
    first = await company.subscribed(5)
    await company.invites("member@example.com")
    plain = s.SubscriptionItem(
        product="solo", price="solo_monthly", quantity=1, seats=None, features=[], stripe_price_id=None
    )
    await company.tells("changed", items=[plain])
    assert (await company.team())["status"] == "closed"
    await company.tells("changed", items=[team_item(3)])
    second = await company.team()
    assert (second["status"], second["occupied"]) == ("open", 1)
    assert second["team_id"] != first["team_id"]


async def test_events_in_any_order_and_twice_lead_to_the_same_team(company: SeatWorld) -> None:
    await company.subscribed(5, subscription="sub_other")
    base = company.told["sub_other"].model_copy(update={"subscription_id": SUBSCRIPTION})
    story = [
        base.model_copy(update={"version": 1, "status": "incomplete"}),
        base.model_copy(update={"version": 2}),
        base.model_copy(update={"version": 3, "status": "past_due", "restricted": True}),
        base.model_copy(update={"version": 4, "items": [team_item(9)]}),
        base.model_copy(update={"version": 5, "items": [team_item(9)], "status": "paused"}),
    ]
    shuffled = [*story, *story]
    random.Random(4).shuffle(shuffled)
    for told in shuffled:
        await company.hears(told)
    team = await company.team()
    assert (team["quantity"], team["suspended"], team["status"]) == (9, True, "open")
    await company.hears(base.model_copy(update={"version": 7, "status": "canceled"}))
    await company.hears(base.model_copy(update={"version": 6}))
    assert (await company.team())["status"] == "closed"
    versions = [
        snapshot["version"]
        for _, snapshot in await company.events("billing_team")
        if snapshot["subscription_id"] == SUBSCRIPTION
    ]
    assert versions == list(range(1, len(versions) + 1))


async def test_an_end_that_is_heard_first_never_opens_a_team(company: SeatWorld) -> None:
    await company.subscribed(5, subscription="sub_other")
    base = company.told["sub_other"].model_copy(update={"subscription_id": SUBSCRIPTION})
    await company.hears(base.model_copy(update={"version": 3, "status": "expired"}))
    await company.hears(base.model_copy(update={"version": 1}))
    assert (await company.refuses(m.GetTeam(subscription_id=SUBSCRIPTION)))[0] == "not_found"


@pytest.mark.parametrize("named", ["7", "user_7"])
@pytest.mark.parametrize("is_known_first", [True, False])
async def test_who_bought_manages_the_team_whichever_event_comes_first(
    company: SeatWorld, named: str, is_known_first: bool
) -> None:
    event = customer_event(1, billing_manager=named)
    if is_known_first:
        await company.bound.hears(event, "created")
        await company.subscribed(5)
    else:
        await company.subscribed(5)
        await company.bound.hears(event, "created")
    assert (await company.team())["billing_manager"] == user("7").model_dump()
    await company.bound.hears(customer_event(2, billing_manager="8"), "updated")
    assert (await company.team())["billing_manager"] == user("7").model_dump()


async def test_a_manager_that_an_overtaken_event_names_manages_nothing(company: SeatWorld) -> None:
    await company.subscribed(5)
    await company.bound.hears(customer_event(2), "updated")
    await company.bound.hears(customer_event(1, billing_manager="7"), "created")
    assert (await company.team())["billing_manager"] == ACME.model_dump()
    assert await company.names("billing_team") == ["openedV1"]


async def test_a_team_first_seen_while_paused_is_opened_suspended(
    company: SeatWorld,
) -> None:
    await company.subscribed(5, subscription="sub_other")
    told = company.told["sub_other"].model_copy(update={"subscription_id": SUBSCRIPTION, "status": "paused"})
    await company.hears(told, "paused")
    assert (await company.team())["suspended"] is True
    await company.tells("resumed", status="active")
    assert (await company.team())["suspended"] is False
    names = [
        name for name, team in await company.events("billing_team") if team["subscription_id"] == SUBSCRIPTION
    ]
    assert names == ["openedV1", "suspendedV1", "restoredV1"]


async def test_a_suspended_team_that_ends_is_closed_and_nothing_else(company: SeatWorld) -> None:
    await company.subscribed(5)
    await company.tells("paused", status="paused")
    await company.tells("canceled", status="canceled")
    team = await company.team()
    assert (team["status"], team["suspended"], team["occupied"], team["available"]) == ("closed", False, 0, 0)
    assert await company.names("billing_team") == ["openedV1", "suspendedV1", "closedV1"]


async def test_a_transferred_team_has_one_new_manager_and_is_told_once(company: SeatWorld) -> None:
    team = await company.subscribed(5)
    for number in range(2):
        await company.does(
            m.TransferBillingManager(command_id=f"t{number}", team_id=team["team_id"], member=user("1"))
        )
    await company.bound.hears(customer_event(1, billing_manager="7"), "created")
    assert (await company.team())["billing_manager"] == user("1").model_dump()
    assert await company.names("billing_team") == ["openedV1", "changedV1"]


async def test_a_customers_newest_open_team_is_found_first(
    company: SeatWorld,
) -> None:
    await company.subscribed(1, subscription="sub_first")
    second = await company.subscribed(2, subscription="sub_second")
    await company.subscribed(3, subscription="sub_third")
    await company.tells("canceled", subscription="sub_third", status="canceled")
    assert (await company.team(customer=ACME))["team_id"] == second["team_id"]
