"""Entitlements of claimed seats, for any order of the events of seats, teams and subscriptions.

The plan gives each seat 10 hours and the flag, and 5 hours to the payer alone. Its sister gives one pool of
100 hours to the whole team.
"""

import asyncio
import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from services.subscriptions.entitlements import seat_holders
from services.subscriptions.entitlements.refresh import refresh_entitlements
from tallystick.messages import seats as s
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer
from tests.support.worlds.subscriptions import ACME, OpenShop, World, gapless

ANN, BEN = Customer(type="user", id="ann"), Customer(type="user", id="ben")
JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
CREW: dict[str, Any] = {
    "code": "crew",
    "name": "Crew",
    "kind": "plan",
    "seats": {"strategy": "per_seat", "maximum": 20_000},
    "features": [
        {"feature": "transcription"},
        {"feature": "hours", "quantity": 10, "every": "month"},
        {"feature": "hours", "quantity": 5, "every": "month", "team_allowed": False},
    ],
    "prices": [
        {
            "code": "crew_monthly",
            "model": "per_seat",
            "currency": "eur",
            "interval": "month",
            "unit_amount": 1000,
        }
    ],
}
POOL: dict[str, Any] = {
    "code": "pool",
    "name": "Pool",
    "kind": "plan",
    "seats": {"strategy": "per_team"},
    "features": [{"feature": "hours", "quantity": 100, "every": "month"}],
    "prices": [{**CREW["prices"][0], "code": "pool_monthly"}],
}
PLAIN: dict[str, Any] = {
    "code": "plain",
    "name": "Plain",
    "kind": "plan",
    "features": [{"feature": "hours", "quantity": 3, "every": "month"}],
    "prices": [{**CREW["prices"][0], "code": "plain_monthly", "model": "flat"}],
}
CATALOG: dict[str, Any] = {
    "features": [
        {"code": "transcription", "name": "Transcription", "kind": "flag"},
        {"code": "hours", "name": "Hours", "kind": "consumable"},
    ],
    "products": [CREW, POOL, PLAIN],
}


@dataclass(slots=True)
class Team:
    """A team, as the events of the seats service describe it."""

    shop: World
    subscription_id: str
    team_id: str = "team_1"
    version: int = 0
    seat_versions: dict[str, int] = field(default_factory=dict)

    def told(self, **changed: Any) -> s.TeamEvent:
        """The team's next event."""
        self.version += 1
        snapshot: dict[str, Any] = {
            "team_id": self.team_id,
            "version": self.version,
            "subscription_id": self.subscription_id,
            "customer": ACME,
            "strategy": "per_seat",
            "owner_seat": "none",
            "quantity": 5,
            "capacity": 5,
            "occupied": 1,
            "available": 4,
            "seats_in_use": 1,
            "scheduled_quantity": None,
            "billing_manager": ACME,
            "suspended": False,
            "status": "open",
            "change": None,
            "refused_change": None,
            "opened_at": JANUARY,
            "closed_at": None,
        }
        return s.TeamEvent(
            event_id=f"evt_{self.team_id}{self.version}",
            occurred_at=JANUARY,
            version=self.version,
            caused_by="of the team",
            customer=ACME,
            billing_team=s.TeamSnapshot(**(snapshot | changed)),
        )

    def seat(self, seat_id: str, status: str, member: Customer | None = ANN, times: int = 1) -> s.SeatEvent:
        """A seat's next event."""
        version = self.seat_versions.get(seat_id, 0) + 1
        self.seat_versions[seat_id] = version
        snapshot = s.SeatSnapshot(
            seat_id=seat_id,
            version=version,
            team_id=self.team_id,
            subscription_id=self.subscription_id,
            status=status,  # type: ignore[arg-type]
            email=None,
            member=member,
            multiplier=times,
            role=None,
            metadata={},
            invited_at=JANUARY,
            expires_at=None,
            claimed_at=None,
            revoked_at=None,
        )
        return s.SeatEvent(
            event_id=f"evt_{seat_id}{version}",
            occurred_at=JANUARY,
            version=version,
            caused_by=f"of {seat_id}",
            customer=ACME,
            seat=snapshot,
        )

    async def hears(self, *events: s.SeatEvent | s.TeamEvent) -> None:
        """Deliver these events one after the other."""
        for event in events:
            await self.shop.bound.hears(event)

    async def changes(self, command: Any) -> None:
        """Change the subscription and handle the commands that the service queues for itself."""
        before = len(await self.shop.reports("refresh_seats"))
        await self.shop.does(command)
        for body in (await self.shop.reports("refresh_seats"))[before:]:
            await self.shop.does(m.RefreshSeats.model_validate(body))


async def subscribed(shop: World, price: str = "crew_monthly", customer: Customer = ACME) -> str:
    """A subscription for five, paid outside."""
    await shop.register(customer)
    command = m.CreateSubscription(
        command_id=shop.command_id(),
        customer=customer,
        items=[m.ItemToBuy(price=price, quantity=None if price == "plain_monthly" else 5)],
        collection="none",
    )
    found: str = (await shop.does(command))["subscription"]["subscription_id"]
    return found


@pytest.fixture
async def shop(open_shop: OpenShop) -> World:
    """A shop that sells plans with seats, offline."""
    return await open_shop(CATALOG, key=None)


@pytest.fixture
async def team(shop: World) -> Team:
    """A team of five without any event so far."""
    return Team(shop, await subscribed(shop))


async def hours(team: Team, member: Customer = ANN) -> Any:
    """Return how many hours a member has; None: not entitled."""
    entry = (await team.shop.bucket()).get(f"{member.token}.hours")
    return entry["quantity"] if entry else None


async def test_a_claimed_seat_gives_only_team_features(team: Team) -> None:
    await team.hears(team.told(), team.seat("seat_1", "pending"), team.seat("seat_1", "claimed"))
    through = {"subscription_id": team.subscription_id, "product": "crew", "through": "seat"}
    assert {key: entry for key, entry in (await team.shop.bucket()).items() if key.startswith("user_")} == {
        "user_ann.hours": {
            "allowed": True,
            "quantity": 10,
            "sources": [through],
            "expires_at": None,
            "version": 1,
        },
        "user_ann.transcription": {
            "allowed": True,
            "quantity": None,
            "sources": [through],
            "expires_at": None,
            "version": 1,
        },
    }
    assert (await team.shop.allowed("hours", ANN))["quantity"] == 10
    listed = await team.shop.asks(m.ListEntitlements(customer=ANN))
    assert [item["feature"] for item in listed["items"]] == ["hours", "transcription"]
    told = [body for _, body in await team.shop.told("entitlement") if body["customer"]["id"] == "ann"]
    assert {body["caused_by"] for body in told} == {"of seat_1"}


async def test_a_pending_seat_gives_nothing(team: Team) -> None:
    await team.hears(team.told(), team.seat("seat_1", "pending"))
    assert await hours(team) is None


async def test_any_order_and_any_repetition_of_the_events_ends_alike(shop: World) -> None:
    subscription_id = await subscribed(shop)
    for number, order in enumerate(itertools.permutations(range(4))):
        member = Customer(type="user", id=f"u{number}")
        team = Team(shop, subscription_id, team_id=f"team_{number}")
        seat_id = f"seat_{number}"
        events: list[s.SeatEvent | s.TeamEvent] = [
            team.told(),
            team.seat(seat_id, "pending", member),
            team.seat(seat_id, "claimed", member),
            team.told(occupied=2),
        ]
        await team.hears(*(events[place] for place in order), events[order[0]])
        assert await hours(team, member) == 10, order
    assert gapless(await shop.told("entitlement"), "entitlement", "entitlement_id")


async def test_a_revoked_seat_gives_nothing_even_if_its_claim_is_late(team: Team) -> None:
    claimed, revoked = team.seat("seat_1", "claimed"), team.seat("seat_1", "revoked")
    await team.hears(team.told(), claimed, revoked)
    assert await hours(team) is None
    await team.hears(claimed)
    assert await hours(team) is None


async def test_a_replaced_seat_changes_hands(team: Team) -> None:
    await team.hears(team.told(), team.seat("seat_1", "claimed"), team.seat("seat_1", "claimed", BEN))
    assert (await hours(team, ANN), await hours(team, BEN)) == (None, 10)


async def test_a_multiplier_multiplies_what_each_seat_has(team: Team) -> None:
    await team.hears(team.told(), team.seat("seat_1", "claimed", times=3))
    assert await hours(team) == 30


async def test_a_pool_is_seen_by_everybody_as_it_is(shop: World) -> None:
    team = Team(shop, await subscribed(shop, "pool_monthly"))
    await team.hears(team.told(), team.seat("seat_1", "claimed"), team.seat("seat_2", "claimed", BEN, 1))
    assert (await hours(team, ANN), await hours(team, BEN)) == (100, 100)


async def test_own_subscriptions_and_seats_add_up(shop: World) -> None:
    await subscribed(shop, "plain_monthly", ANN)
    first = Team(shop, await subscribed(shop))
    second = Team(shop, await subscribed(shop, "pool_monthly"), team_id="team_2")
    await first.hears(first.told(), first.seat("seat_1", "claimed"))
    await second.hears(second.told(), second.seat("seat_2", "claimed"))
    assert await hours(first) == 3 + 10 + 100
    sources = (await shop.allowed("hours", ANN))["sources"]
    assert [(source["product"], source["through"]) for source in sources] == [
        ("plain", "owner"),
        ("crew", "seat"),
        ("pool", "seat"),
    ]
    await first.hears(first.seat("seat_1", "revoked"))
    assert await hours(first) == 3 + 100


async def test_a_suspended_team_loses_everything_and_has_it_back(team: Team) -> None:
    await team.hears(team.told(), team.seat("seat_1", "claimed"), team.told(suspended=True))
    assert await hours(team) is None
    await team.hears(team.told())
    assert await hours(team) == 10
    await team.hears(team.told(status="closed"))
    assert await hours(team) is None


async def test_a_claim_in_a_suspended_team_counts_once_it_is_restored(team: Team) -> None:
    await team.hears(team.told(suspended=True), team.seat("seat_1", "claimed"))
    assert await hours(team) is None
    await team.hears(team.told())
    assert await hours(team) == 10


async def test_a_paused_subscription_suspends_its_seats_at_once(team: Team) -> None:
    await team.hears(team.told(), team.seat("seat_1", "claimed"))
    about: Any = {"command_id": "pause", "subscription_id": team.subscription_id}
    await team.changes(m.PauseSubscription(**about))
    assert await hours(team) is None
    await team.changes(m.ResumeSubscription(**(about | {"command_id": "resume"})))
    assert await hours(team) == 10


async def test_members_see_the_known_end_of_the_subscription(team: Team) -> None:
    await team.hears(team.told(), team.seat("seat_1", "claimed"))
    await team.changes(
        m.CancelSubscription(command_id="end", subscription_id=team.subscription_id, at="period_end")
    )
    end = (await team.shop.subscription())["current_period_end"]
    assert (await team.shop.allowed("hours", ANN))["expires_at"] == end
    await team.changes(m.CancelSubscription(command_id="now", subscription_id=team.subscription_id, at="now"))
    assert await hours(team) is None


async def test_another_plan_gives_its_own_to_the_members(team: Team) -> None:
    await team.hears(team.told(), team.seat("seat_1", "claimed"))
    await team.changes(
        m.ChangePlan(
            command_id="pool",
            subscription_id=team.subscription_id,
            price="pool_monthly",
            when="now",
            proration="none",
        )
    )
    assert await hours(team) == 100
    assert "user_ann.transcription" not in await team.shop.bucket()


async def test_what_changes_nothing_for_the_members_tells_them_nothing(team: Team) -> None:
    await team.hears(team.told(), team.seat("seat_1", "claimed"))
    before = len(await team.shop.told("entitlement"))
    await team.hears(team.told(occupied=2), team.told(occupied=3), team.seat("seat_1", "claimed"))
    await team.changes(
        m.ChangeQuantity(
            command_id="more",
            subscription_id=team.subscription_id,
            quantity=6,
            when="now",
            proration="none",
        )
    )
    assert len(await team.shop.told("entitlement")) == before


async def test_fewer_seats_than_the_newest_event_says_are_rejected(team: Team) -> None:
    old = team.told(seats_in_use=2)
    await team.hears(team.told(seats_in_use=4), old)
    command = m.ChangeQuantity(
        command_id="fewer",
        subscription_id=team.subscription_id,
        quantity=3,
        when="now",
        proration="none",
    )
    code, details = await team.shop.refuses(command)
    assert (code, details["occupied"]) == ("seats_in_use", 4)


async def test_a_team_larger_than_one_part_is_brought_in_line_whole(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seat_holders, "HOLDERS_BATCH", 3)
    members = [Customer(type="user", id=f"u{number}") for number in range(7)]
    seats = [team.seat(f"seat_{number}", "claimed", member) for number, member in enumerate(members)]
    await asyncio.gather(*(team.hears(event) for event in seats))
    await team.hears(team.told())
    assert [await hours(team, member) for member in members] == [10] * 7
    await team.hears(team.told(suspended=True))
    assert [await hours(team, member) for member in members] == [None] * 7


async def test_a_redelivered_event_finishes_an_interrupted_run(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seat_holders, "HOLDERS_BATCH", 2)
    members = [Customer(type="user", id=f"u{number}") for number in range(5)]
    for number, member in enumerate(members):
        await team.hears(team.seat(f"seat_{number}", "claimed", member))
    await team.hears(team.told())
    suspended = team.told(suspended=True)

    async def die_in_the_second_part(work: Any, tokens: Any, **more: Any) -> None:
        await refresh_entitlements(work, tokens, **more)
        if "user_u2" in tokens:
            raise RuntimeError("killed")

    with monkeypatch.context() as dying:
        dying.setattr(seat_holders, "refresh_entitlements", die_in_the_second_part)
        with pytest.raises(RuntimeError, match="killed"):
            await team.hears(suspended)
    assert [await hours(team, member) for member in members] == [None, None, 10, 10, 10]
    await team.hears(suspended)
    assert [await hours(team, member) for member in members] == [None] * 5


async def test_concurrent_claims_and_suspensions_agree(shop: World) -> None:
    for number in range(5):
        customer = Customer(type="organization", id=f"org-{number}")
        team = Team(shop, await subscribed(shop, customer=customer), team_id=f"team_{number}")
        members = [Customer(type="user", id=f"m{number}-{place}") for place in range(8)]
        claims = [
            team.seat(f"seat_{number}x{place}", "claimed", member) for place, member in enumerate(members)
        ]
        opened, suspended = team.told(), team.told(suspended=True)
        await asyncio.gather(
            *(team.hears(claim) for claim in claims), team.hears(suspended), team.hears(opened)
        )
        assert [await hours(team, member) for member in members] == [None] * 8
        restored = team.told()
        await asyncio.gather(
            team.hears(restored), *(team.hears(claim) for claim in claims), team.hears(suspended)
        )
        assert [await hours(team, member) for member in members] == [10] * 8
