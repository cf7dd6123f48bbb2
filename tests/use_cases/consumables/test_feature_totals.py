"""Totals over all accounts, kept while units are granted, used, given back and expire."""

from datetime import timedelta
from typing import Any

from services.consumables.invariants import INVARIANTS
from tallystick.messages import consumables as m
from tests.support.runtime import NOON
from tests.support.state_machines.audit import audited
from tests.support.worlds.balances import (
    ACME,
    ANN,
    BOB,
    HOURS,
    MEMBERS,
    OWN,
    POOL,
    SEAT_OF_ANN,
    SEAT_OF_BOB,
    UnitsWorld,
)


async def total(units: UnitsWorld, feature: str = HOURS) -> list[Any]:
    """Actual, limit, unlimited accounts, and what these use."""
    found = (await units.does(m.FeatureTotals()))["features"][feature]
    return [found[name] for name in ("actual", "theoretical_limit", "unlimited_accounts", "unlimited_actual")]


async def folds(units: UnitsWorld) -> None:
    """Add up what was appended; the totals stay what they are."""
    await units.bound.tick("fold_totals", units.now)
    assert await units.bound.rows("SELECT * FROM consumables.feature_changes") == []
    assert await audited(units.bound.owner_url) == []


async def test_nothing_is_granted_yet(units: UnitsWorld) -> None:
    found = (await units.does(m.FeatureTotals()))["features"]
    assert set(found) == {HOURS, MEMBERS}, "a flag has no units"
    assert await total(units) == [0, 0, 0, 0]


async def test_consumables_count_what_runs(units: UnitsWorld) -> None:
    await units.grant(100)
    await units.grant(50, POOL, expires_at=NOON + timedelta(days=3))
    await units.uses(30, account=OWN)
    await units.uses(45, ANN, account=POOL)
    assert await total(units) == [75, 150, 0, 0]
    await folds(units)
    assert await total(units) == [75, 150, 0, 0]
    used = m.Consume(command_id="to-refund", consumer=ACME, feature=HOURS, quantity=5, account=OWN)
    await units.does(used)
    await units.does(m.RefundConsumption(command_id=units.command_id(), consumption_id="to-refund"))
    # The pool's period is over, whether its grant was ended by a job or not.
    units.now = NOON + timedelta(days=3, hours=1)
    assert await total(units) == [30, 100, 0, 0]
    await units.bound.tick("expire_grants", units.now)
    assert await total(units) == [30, 100, 0, 0]
    await folds(units)


async def test_limits_count_what_is_in_use(units: UnitsWorld) -> None:
    await units.grant(10, OWN, MEMBERS)
    grant_id = await units.grant(3, SEAT_OF_ANN, MEMBERS)
    await units.uses(7, feature=MEMBERS, account=OWN)
    await units.uses(2, ANN, feature=MEMBERS, account=SEAT_OF_ANN)
    assert await total(units, MEMBERS) == [9, 13, 0, 0]
    await units.does(
        m.Release(command_id=units.command_id(), consumer=ACME, feature=MEMBERS, quantity=4, account=OWN)
    )
    # More in use than allowed: what is in use counts, and the ceiling is what it is.
    await units.does(m.RevokeGrant(command_id=units.command_id(), grant_id=grant_id, reason="a test"))
    assert await total(units, MEMBERS) == [5, 10, 0, 0]
    await folds(units)


async def test_accounts_without_a_limit_stand_beside(units: UnitsWorld) -> None:
    await units.grant(10, SEAT_OF_ANN)
    await units.grant(20, SEAT_OF_BOB)
    await units.uses(4, ANN, account=SEAT_OF_ANN)
    await units.uses(5, BOB, account=SEAT_OF_BOB)
    assert await total(units) == [9, 30, 0, 0]
    unlimited = await units.grant(None, SEAT_OF_BOB)
    await units.uses(100, BOB, account=SEAT_OF_BOB)
    assert await total(units) == [4, 10, 1, 105]
    await units.does(m.RevokeGrant(command_id=units.command_id(), grant_id=unlimited, reason="a test"))
    actual, limit, accounts, _ = await total(units)
    assert (limit, accounts) == (30, 0)
    assert actual >= 9
    await folds(units)


async def test_unlimited_plans_alone(units: UnitsWorld) -> None:
    await units.grant(None, OWN, MEMBERS)
    await units.uses(12, feature=MEMBERS, account=OWN)
    assert await total(units, MEMBERS) == [0, 0, 1, 12]


def test_the_audit_compares_the_totals() -> None:
    assert any("totals of features" in each.name for each in INVARIANTS)
