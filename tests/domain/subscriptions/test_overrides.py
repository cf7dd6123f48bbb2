"""Feature overrides for one customer and their effect on the entitlements."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.subscriptions.domain.entitlements import compute_entitlements
from services.subscriptions.domain.overrides import Override, OverrideRequest, resolve_override
from services.subscriptions.domain.rule_violation import RuleViolation
from tests.support.subscription_values import gives, subscribed

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
MARCH = datetime(2026, 3, 1, tzinfo=UTC)


def request(kind: Any = "limit", **fields: Any) -> OverrideRequest:
    known: dict[str, Any] = {
        "feature": "members",
        "kind": kind,
        "allowed": None,
        "quantity": None,
        "until": None,
    }
    return OverrideRequest(**(known | fields))


def test_a_quantity_is_added_to_what_subscriptions_give() -> None:
    plan = {"sub_a": subscribed(gives("members", "limit", 10))}

    found = compute_entitlements(plan, [Override("members", True, 5, None)])["members"]

    assert (found.allowed, found.quantity, found.expires_at) == (True, 15, None)
    assert [(source.subscription_id, source.through) for source in found.sources] == [
        ("sub_a", "owner"),
        (None, "override"),
    ]


def test_a_feature_nobody_sold_is_there_until_the_override_ends() -> None:
    found = compute_entitlements({}, [Override("api", True, None, MARCH)])["api"]

    assert (found.allowed, found.quantity, found.expires_at) == (True, None, MARCH)


def test_without_a_quantity_a_limit_becomes_unlimited() -> None:
    plan = {"sub_a": subscribed(gives("members", "limit", 10))}

    found = compute_entitlements(plan, [Override("members", True, None, MARCH)])["members"]

    assert (found.allowed, found.quantity) == (True, None)
    # The plan's ten stay when the override ends.
    assert found.expires_at is None


def test_taking_away_is_stronger_than_any_subscription() -> None:
    plan = {"sub_a": subscribed(gives("api", "flag"), gives("members", "limit", 10))}

    found = compute_entitlements(plan, [Override("api", False, None, MARCH)])

    assert (found["api"].allowed, found["api"].quantity) == (False, 0)
    assert [source.through for source in found["api"].sources] == ["override"]
    assert found["members"].quantity == 10


def test_no_units_at_all_are_not_allowed() -> None:
    assert not compute_entitlements({}, [Override("hours", True, 0, None)])["hours"].allowed


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (request(quantity=5), Override("members", True, 5, None)),
        (request(quantity=5, allowed=True, until=MARCH), Override("members", True, 5, MARCH)),
        (request(allowed=True), Override("members", True, None, None)),
        (request(allowed=False), Override("members", False, None, None)),
        (request("flag", allowed=True), Override("members", True, None, None)),
    ],
)
def test_a_wish_says_what_is_given(asked: OverrideRequest, given: Override) -> None:
    assert resolve_override(asked, NOW) == given


@pytest.mark.parametrize("until", [NOW, NOW - timedelta(days=1)])
def test_a_wish_whose_time_is_over_ends_the_override(until: datetime) -> None:
    assert resolve_override(request(until=until), NOW) is None
    assert resolve_override(request(quantity=5, until=until), NOW) is None


@pytest.mark.parametrize(
    ("asked", "field"),
    [(request(), "allowed"), (request(until=MARCH), "allowed"), (request("flag", quantity=3), "quantity")],
)
def test_a_wish_that_means_nothing_is_refused(asked: OverrideRequest, field: str) -> None:
    with pytest.raises(RuleViolation) as refused:
        resolve_override(asked, NOW)
    assert (refused.value.code, refused.value.details) == ("invalid_message", {"field": field})
