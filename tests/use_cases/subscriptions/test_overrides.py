"""Feature overrides for one customer, from the command to the bucket and to their end."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from services.subscriptions.app import service
from services.subscriptions.checkout.start_checkout import Trials
from services.subscriptions.stripe.client import StripeGateway
from tallystick.messages import catalog
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer
from tests.support.catalogs import team_catalog
from tests.support.runtime import NOON, Bound

ACME = Customer(type="organization", id="acme")
MARCH = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
async def bound(bind: Callable[..., Bound]) -> Bound:
    """A shop without Stripe and with one customer, on the free plan: 5 hours and transcription."""
    shop = bind(service, StripeGateway(None), Trials(None))
    await done(shop, catalog.ApplyCatalog(command_id="catalog", catalog=team_catalog()))
    await done(shop, m.RegisterCustomer(command_id="register", customer=ACME, email="pay@acme.example"))
    items = [m.ItemToBuy(price="solo_free")]
    await done(shop, m.CreateSubscription(command_id="subscribe", customer=ACME, items=items))
    return shop


async def done(bound: Bound, command: Any) -> dict[str, Any]:
    outcome = await bound.handle(command)
    assert outcome.status == "succeeded", outcome.error
    assert outcome.result is not None
    return outcome.result


async def overridden(bound: Bound, command_id: str = "override", **fields: Any) -> dict[str, Any]:
    known: dict[str, Any] = {"feature": "hours", "reason": "An apology"} | fields
    command = m.OverrideFeature(command_id=command_id, customer=ACME, **known)
    found: dict[str, Any] = (await done(bound, command))["entitlement"]
    return found


async def refusal(bound: Bound, **fields: Any) -> str:
    known: dict[str, Any] = {"feature": "hours", "reason": "An apology", "customer": ACME} | fields
    outcome = await bound.handle(m.OverrideFeature(command_id="refused", **known))
    assert outcome.error is not None, outcome
    return outcome.error.code


async def allowed(bound: Bound, feature: str) -> tuple[bool, int | None]:
    outcome = await bound.handle(m.CheckEntitlement(customer=ACME, feature=feature))
    assert outcome.result is not None
    answer = m.Allowance.model_validate(outcome.result, strict=False)
    return answer.allowed, answer.quantity


async def test_the_clock_ends_an_override_before_the_job_does(bound: Bound) -> None:
    """7 hours on top of the plan's 5, and 3 places that only an override gives, until March."""
    await overridden(bound, quantity=7, until=MARCH)
    await overridden(bound, "places", feature="members", quantity=3, until=MARCH)
    bound.now = MARCH - timedelta(seconds=1)
    assert await allowed(bound, "hours") == (True, 12)
    assert await allowed(bound, "members") == (True, 3)
    bound.now = MARCH
    assert await allowed(bound, "hours") == (True, 5)
    assert await allowed(bound, "members") == (False, 0)
    listed = (await bound.handle(m.ListEntitlements(customer=ACME))).result
    assert listed is not None
    page = m.EntitlementPage.model_validate(listed, strict=False)
    shown = {item.feature: (item.allowed, item.quantity) for item in page.items}
    assert (shown["hours"], shown["members"]) == ((True, 5), (False, 0))


async def test_the_bucket_says_what_is_left_when_an_override_ends(bound: Bound) -> None:
    await overridden(bound, quantity=7, until=MARCH)
    entry = orjson.loads((await bound.outbox("KV_billing_entitlements"))[-1]["payload"])
    [step] = entry["upcoming"]
    assert (entry["quantity"], entry["expires_at"]) == (12, None)
    assert (step["at"], step["quantity"], step["expires_at"]) == ("2026-03-01T00:00:00Z", 5, None)
    assert [source["through"] for source in step["sources"]] == ["owner"]


async def told(bound: Bound, feature: str) -> list[tuple[int, Any, str]]:
    """Version, quantity and cause of each event about a feature."""
    feed = [body for subject, body in await bound.feed() if ".entitlement." in subject]
    return [
        (body["version"], body["entitlement"]["quantity"], body["caused_by"])
        for body in feed
        if body["entitlement"]["feature"] == feature
    ]


async def test_an_override_is_added_told_and_ended_by_a_tick(bound: Bound) -> None:
    # 5 hours of the plan and 20 on top are 25 until March, then 5 again.
    found = await overridden(bound, quantity=20, until=MARCH)
    assert (found["quantity"], found["version"], found["expires_at"]) == (25, 2, None)
    assert [source["through"] for source in found["sources"]] == ["owner", "override"]

    await bound.tick("move_periods", MARCH - timedelta(seconds=1))
    assert await allowed(bound, "hours") == (True, 25)
    await bound.tick("move_periods", MARCH)
    await bound.tick("move_periods", MARCH)

    assert await allowed(bound, "hours") == (True, 5)
    assert await told(bound, "hours") == [
        (1, 5, "subscribe"),
        (2, 25, "override"),
        (3, 5, "subscriptions.move_periods 2026-03-01T00:00:00Z"),
    ]


async def test_why_and_by_whom_is_kept_of_every_override(bound: Bound) -> None:
    await overridden(bound, quantity=20, until=MARCH, reason="a good customer")
    await bound.tick("move_periods", MARCH)

    kept = await bound.rows("SELECT reason, set_by, ended_by FROM subscriptions.overrides")
    assert kept == [
        {
            "reason": "a good customer",
            "set_by": "override",
            "ended_by": "subscriptions.move_periods 2026-03-01T00:00:00Z",
        }
    ]


async def test_the_next_override_replaces_the_one_before(bound: Bound) -> None:
    await overridden(bound, "first", quantity=20)
    await overridden(bound, "second", quantity=3)

    assert await allowed(bound, "hours") == (True, 8)
    rows = await bound.rows("SELECT set_by, ended_by FROM subscriptions.overrides ORDER BY override_id")
    assert rows == [{"set_by": "first", "ended_by": "second"}, {"set_by": "second", "ended_by": None}]


async def test_an_end_in_the_past_ends_the_override_at_once(bound: Bound) -> None:
    await overridden(bound, "given", feature="members", quantity=2)
    ended = await overridden(bound, "ended", feature="members", until=NOON)

    assert (ended["allowed"], ended["quantity"], ended["sources"], ended["version"]) == (False, 0, [], 2)
    assert await allowed(bound, "members") == (False, 0)


async def test_a_feature_is_taken_away_and_given_back(bound: Bound) -> None:
    taken = await overridden(bound, "taken", feature="transcription", allowed=False)
    assert (taken["allowed"], [source["through"] for source in taken["sources"]]) == (False, ["override"])

    back = await overridden(bound, "back", feature="transcription", until=NOON)
    assert (back["allowed"], [source["through"] for source in back["sources"]]) == (True, ["owner"])


async def test_the_same_again_changes_nothing_and_tells_nothing(bound: Bound) -> None:
    first = await overridden(bound, "first", quantity=20)
    assert await overridden(bound, "first", quantity=20) == first
    assert await overridden(bound, "second", quantity=20) == first
    assert len(await told(bound, "hours")) == 2


async def customers(bound: Bound) -> list[tuple[str, int, list[dict[str, Any]]]]:
    """Event, version and overrides of each event of a customer."""
    return [
        (subject.rpartition(".")[2], body["version"], body["customer"]["overrides"])
        for subject, body in await bound.feed()
        if ".customer." in subject
    ]


async def test_the_customer_is_told_with_the_overrides_in_force(bound: Bound) -> None:
    await overridden(bound, "hours", quantity=20, until=MARCH)
    await overridden(bound, "again", quantity=20, until=MARCH)
    await overridden(bound, "flag", feature="transcription", allowed=False)
    await bound.tick("move_periods", MARCH)
    await bound.tick("move_periods", MARCH)
    await overridden(bound, "back", feature="transcription", until=NOON)

    hours = {
        "feature": "hours",
        "kind": "consumable",
        "allowed": True,
        "quantity": 20,
        "until": "2026-03-01T00:00:00Z",
    }
    flag = {"feature": "transcription", "kind": "flag", "allowed": False, "quantity": None, "until": None}
    assert await customers(bound) == [
        ("createdV1", 1, []),
        ("updatedV1", 2, [hours]),
        ("updatedV1", 3, [hours, flag]),
        ("updatedV1", 4, [flag]),
        ("updatedV1", 5, []),
    ]
    found = await done(bound, m.GetCustomer(customer=ACME))
    assert (found["customer"]["version"], found["customer"]["overrides"]) == (5, [])


async def test_many_overrides_end_in_one_tick(bound: Bound) -> None:
    # More than one batch of 100.
    for number in range(120):
        customer = Customer(type="user", id=f"u{number}")
        command = m.RegisterCustomer(command_id=f"register-{number}", customer=customer, email="a@b.example")
        await done(bound, command)
        fields: Any = {"feature": "members", "quantity": 1, "until": MARCH, "reason": "a gift"}
        await done(bound, m.OverrideFeature(command_id=f"override-{number}", customer=customer, **fields))

    await bound.tick("move_periods", MARCH)

    rows = await bound.rows(
        "SELECT count(*) AS granted FROM subscriptions.entitlements WHERE feature = 'members' AND granted"
    )
    assert rows == [{"granted": 0}]
    assert len(await told(bound, "members")) == 240


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"feature": "unheard_of", "quantity": 1}, "unknown_feature"),
        ({"customer": Customer(type="user", id="nobody"), "quantity": 1}, "not_found"),
        ({}, "invalid_message"),
        ({"feature": "transcription", "quantity": 1}, "invalid_message"),
        ({"feature": "members", "until": NOON}, "not_found"),
    ],
)
async def test_what_cannot_be_overridden_is_refused(bound: Bound, fields: Any, code: str) -> None:
    assert await refusal(bound, **fields) == code
