"""A company with a team, for tests of seats: events of its subscription and commands on its seats."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tallystick.messages import licenses
from tallystick.messages import seats as m
from tallystick.messages import subscriptions as s
from tallystick.messages.base import Customer
from tallystick.messages.catalog import OwnerSeat, SeatRule, SeatStrategy
from tests.support.runtime import NOON, Bound
from tests.support.worlds.handling import FollowingSubscriptions

ACME = Customer(type="organization", id="acme")
SUBSCRIPTION = "sub_acme"
SECRET = "the-secret-from-which-tokens-are-made"
PERIOD_START = datetime(2026, 1, 1, tzinfo=UTC)
PERIOD_END = datetime(2026, 2, 1, tzinfo=UTC)


def user(name: str) -> Customer:
    """A user of the host application."""
    return Customer(type="user", id=name)


def team_item(
    quantity: int,
    *,
    owner_seat: OwnerSeat = "free",
    strategy: SeatStrategy = "per_seat",
    minimum: int = 1,
    maximum: int | None = 1000,
) -> s.SubscriptionItem:
    """The item of a subscription to the team plan."""
    rule = SeatRule(strategy=strategy, owner_seat=owner_seat, minimum=minimum, maximum=maximum)
    return s.SubscriptionItem(
        product="team", price="team_monthly", quantity=quantity, seats=rule, features=[]
    )


@dataclass(slots=True)
class SeatWorld(FollowingSubscriptions):
    """The service on a database, and the events of other services so far."""

    bound: Bound
    now: datetime = NOON
    told: dict[str, s.SubscriptionSnapshot] = field(default_factory=dict)
    _commands: int = 0

    async def subscribed(
        self, quantity: int = 5, *, customer: Customer = ACME, subscription: str = SUBSCRIPTION, **rule: Any
    ) -> dict[str, Any]:
        """The team of a subscription that has just begun."""
        told = s.SubscriptionSnapshot(
            subscription_id=subscription,
            version=1,
            customer=customer,
            status="active",
            collection="automatic",
            items=[team_item(quantity, **rule)],
            current_period_start=PERIOD_START,
            current_period_end=PERIOD_END,
            trial_end=None,
            cancel_at_period_end=False,
            canceled_at=None,
            ended_at=None,
            grace_until=None,
            scheduled_change=None,
            stripe_subscription_id="sub_1P",
            created_at=PERIOD_START,
        )
        await self.hears(told, "created")
        return await self.team(subscription_id=subscription)

    async def tells(
        self, event: str = "changed", *, subscription: str = SUBSCRIPTION, **fields: Any
    ) -> s.SubscriptionSnapshot:
        """Change the subscription and deliver its next event."""
        before = self.told[subscription]
        told = before.model_copy(update={"version": before.version + 1, **fields})
        await self.hears(told, event)
        return told

    async def reports(
        self, *members: int | None, version: int, subscription: str | None = SUBSCRIPTION, **fields: Any
    ) -> None:
        """Deliver an event of the subscription's license, on whose machines so many members are in use."""
        there = [
            licenses.ActivationSnapshot(
                instance_id=f"host-{number}",
                name=None,
                version=None,
                activated_at=NOON,
                refreshed_at=NOON,
                members=reported,
                not_after=PERIOD_END,
                grace_until=PERIOD_END,
            )
            for number, reported in enumerate(members)
        ]
        told = licenses.LicenseSnapshot(
            license_id=f"lic_{(subscription or SUBSCRIPTION).removeprefix('sub_')}",
            version=version,
            customer=ACME,
            subscription_id=subscription,
            product="server",
            status="active",
            seats=20,
            features={},
            instances=9,
            activations=there,
            grace_days=14,
            offline_days=30,
            expires_at=None,
            suspended=False,
            key_hint="ABCDEF",
            key_number=1,
            key_shown=True,
            reason=None,
            issued_at=NOON,
            ended_at=None,
        ).model_copy(update=fields)
        self.bound.now = self.now
        event = licenses.LicenseEvent(
            event_id=f"evt_{told.license_id}_{version}",
            occurred_at=self.now,
            version=version,
            caused_by=f"refresh-{version}",
            customer=ACME,
            license=told,
        )
        await self.bound.hears(event, "changed")

    async def team(self, **wanted: Any) -> dict[str, Any]:
        """Return a team, by default that of the first subscription."""
        question = m.GetTeam(**(wanted or {"subscription_id": SUBSCRIPTION}))
        found: dict[str, Any] = (await self.asks(question))["team"]
        return found

    async def seats(self, status: m.SeatStatus | None = None) -> list[dict[str, Any]]:
        """All seats of the first team, newest first."""
        team = await self.team()
        found: list[dict[str, Any]] = []
        cursor = None
        while True:
            question = m.ListSeats(team_id=team["team_id"], status=status, limit=200, cursor=cursor)
            page = await self.asks(question)
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return found

    async def assign(self, email: str | None = None, **fields: Any) -> m.AssignSeat:
        """Return a command that assigns a seat of the first team."""
        team_id = fields.pop("team_id", None) or (await self.team())["team_id"]
        return m.AssignSeat(command_id=self.command_id(), team_id=team_id, email=email, **fields)

    async def invites(self, email: str, **fields: Any) -> dict[str, Any]:
        """A seat and the token of its invitation."""
        return await self.does(await self.assign(email, **fields))

    def claim(self, token: str, member: str, email: str | None = None) -> m.ClaimSeat:
        """A command by which a user takes the seat."""
        return m.ClaimSeat(command_id=self.command_id(), token=token, member=user(member), email=email)

    async def has(self, email: str, member: str, **fields: Any) -> dict[str, Any]:
        """A seat that is claimed."""
        invited = await self.invites(email, **fields)
        seat: dict[str, Any] = (await self.does(self.claim(invited["invitation_token"], member)))["seat"]
        return seat

    async def events(self, entity: str) -> list[tuple[str, dict[str, Any]]]:
        """The events of an entity on the feed so far: name and snapshot."""
        feed = await self.bound.feed()
        return [
            (subject.split(".")[-1], body[entity])
            for subject, body in feed
            if subject.split(".")[2] == entity
        ]

    async def names(self, entity: str) -> list[str]:
        """The names of an entity's events."""
        return [name for name, _ in await self.events(entity)]
