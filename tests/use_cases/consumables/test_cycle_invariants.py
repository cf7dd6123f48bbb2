"""What a cycle gives is the same by entitlements and by the ledger, for every kind of account."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from services.consumables.app import service
from services.consumables.cycle_invariants import CyclesGiveWhatEntitlementsSay
from shared.operations import audit_helpers
from shared.operations.audit import LiveSystem
from tallystick.messages import catalog
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Event
from tallystick.messages.consumables import GetBalance
from tallystick.subjects import Subjects
from tests.support.runtime import Bound
from tests.support.state_machines.audit import audited
from tests.support.worlds.grants import ACME, ANN, Grants
from tests.support.worlds.subscriptions import OpenShop, World

FEED: dict[str, type[Event]] = {
    "feature": catalog.FeatureEvent,
    "subscription": m.SubscriptionEvent,
    "customer": m.CustomerEvent,
}
PRICE: dict[str, Any] = {
    "model": "per_seat",
    "currency": "eur",
    "interval": "month",
    "unit_amount": 1000,
}


def plan(code: str, **seats: Any) -> dict[str, Any]:
    """A plan whose team has ten hours a month, in a pool or in each seat, and whose payer has five."""
    return {
        "code": code,
        "name": code,
        "kind": "plan",
        "seats": seats,
        "features": [
            {"feature": "hours", "quantity": 10, "every": "month", "rollover": 3},
            {"feature": "hours", "quantity": 5, "every": "month", "team_allowed": False},
        ],
        "prices": [{**PRICE, "code": f"{code}_monthly"}],
    }


CATALOG: dict[str, Any] = {
    "features": [{"code": "hours", "name": "Hours", "kind": "consumable"}],
    "products": [
        plan("crew", strategy="per_seat", owner_seat="free"),
        plan("seatless", strategy="per_seat", owner_seat="none"),
        plan("pool", strategy="per_team", owner_seat="free"),
        plan("outside", strategy="per_team", owner_seat="none"),
    ],
}


@dataclass(slots=True)
class Both:
    """Subscriptions and consumables on one database; events go from the one to the other when told to."""

    shop: World
    units: Grants
    live: LiveSystem
    delivered: int = 0
    subscription: dict[str, Any] = field(default_factory=dict)

    async def subscribes(self, plan: str) -> None:
        """Subscribe the customer for three, paid outside; Ann holds a seat, which counts twice if it can."""
        await self.shop.register()
        command = m.CreateSubscription(
            command_id=self.shop.command_id(),
            customer=ACME,
            items=[m.ItemToBuy(price=f"{plan}_monthly", quantity=3)],
            collection="none",
        )
        self.subscription = (await self.shop.does(command))["subscription"]
        await self.events_arrive()
        names = {"subscription_id": self.subscription["subscription_id"]}
        strategy = "per_team" if plan in ("pool", "outside") else "per_seat"
        multiplier = 1 if strategy == "per_team" else 2
        for event in (
            await self.units.team(strategy=strategy, **names),
            await self.units.seat(multiplier=multiplier, **names),
        ):
            await self.shop.bound.hears(event)

    async def events_arrive(self) -> None:
        """Deliver the new events of subscriptions to consumables."""
        feed = await self.shop.bound.feed()
        for subject, body in feed[self.delivered :]:
            model = FEED.get(subject.split(".")[2])
            if model is not None:
                await self.units.bound.hears(model.model_validate_json(json.dumps(body)))
        self.delivered = len(feed)

    async def overrides(self, **values: Any) -> None:
        """Override the hours of the customer."""
        command = m.OverrideFeature(
            command_id=self.shop.command_id(), customer=ACME, feature="hours", reason="agreed", **values
        )
        await self.shop.does(command)
        await self.events_arrive()

    async def violations(self) -> list[str]:
        """Return what does not fit."""
        found = await CyclesGiveWhatEntitlementsSay().violations(self.live)
        return [*found, *await audited(self.units.bound.owner_url)]

    async def said(self) -> tuple[int, int]:
        """Return what entitlements say of the customer and of Ann."""
        return (
            (await self.shop.allowed("hours"))["quantity"],
            (await self.shop.allowed("hours", ANN))["quantity"],
        )


@pytest.fixture
async def both(
    open_shop: OpenShop, bind: Callable[..., Bound], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Both]:
    # What is wrong in these tests stays wrong: one second look is enough.
    monkeypatch.setattr(audit_helpers, "PENDING_MAX_SECONDS", audit_helpers.RETRY_SECONDS)
    shop = await open_shop(CATALOG, key=None)
    units = Grants(bind(service))
    database = await psycopg.AsyncConnection.connect(
        units.bound.owner_url, autocommit=True, row_factory=dict_row
    )
    nobody: Any = None
    yield Both(shop, units, LiveSystem(database, nobody, Subjects()))
    await database.close()


@pytest.mark.parametrize(
    ("plan", "of_the_customer", "of_ann"),
    [("crew", 5, 20), ("seatless", 5, 20), ("pool", 15, 10), ("outside", 15, 10)],
)
async def test_entitlements_and_the_ledger_give_the_same(
    both: Both, plan: str, of_the_customer: int, of_ann: int
) -> None:
    await both.subscribes(plan)

    assert await both.said() == (of_the_customer, of_ann)
    for who, quantity in (ACME, of_the_customer), (ANN, of_ann):
        balance = await both.units.bound.handle(GetBalance(consumer=who, feature="hours"))
        assert balance.result is not None
        assert balance.result["remaining"] == quantity
    assert await both.violations() == []


async def test_an_override_changes_both(both: Both) -> None:
    await both.subscribes("pool")
    await both.overrides(quantity=30)
    assert await both.said() == (45, 10)
    assert await both.violations() == []
    await both.overrides(quantity=None, allowed=True)
    assert (await both.shop.allowed("hours"))["quantity"] is None
    assert await both.violations() == []
    await both.overrides(allowed=False)
    assert await both.violations() == []


async def test_entitlements_that_say_more_than_a_cycle_gives_are_found(both: Both) -> None:
    await both.subscribes("crew")
    await both.shop.bound.execute(
        "UPDATE subscriptions.entitlements SET quantity = 15 WHERE customer = 'organization_acme'"
    )
    assert await both.violations() == ["organization_acme hours: entitlements say 15, a cycle gives 5"]


async def test_a_seat_without_its_units_is_found(both: Both) -> None:
    await both.subscribes("crew")
    await both.units.bound.execute("DELETE FROM consumables.allotments WHERE account = 'seat:seat_1'")
    assert await both.violations() == ["user_ann hours: entitlements say 20, a cycle gives 0"]


async def test_a_cycle_that_gave_less_than_recorded_is_found(both: Both) -> None:
    await both.subscribes("pool")
    await both.units.bound.execute("UPDATE consumables.allotments SET granted = 11 WHERE granted = 10")
    assert await both.violations() == ["team:team_1 hours.pool.month: 11 recorded, 10 granted"]


async def test_a_canceled_subscription_gives_nothing_to_anybody(both: Both) -> None:
    await both.subscribes("pool")
    command = m.CancelSubscription(
        command_id=both.shop.command_id(),
        subscription_id=both.subscription["subscription_id"],
        at="now",
    )
    await both.shop.does(command)
    await both.events_arrive()
    for body in await both.shop.reports("refresh_seats"):
        await both.shop.does(m.RefreshSeats.model_validate(body))
    assert await both.violations() == []
