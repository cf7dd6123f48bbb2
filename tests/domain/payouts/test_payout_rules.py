"""Payout schedules, and how much is paid out."""

from datetime import UTC, datetime

import pytest

from services.payouts.domain.payout_rules import Minimum, Payable, PayoutRefused, PayoutRequest
from services.payouts.domain.schedule import available_at, next_payout_at
from tallystick.messages.payouts import Every


@pytest.mark.parametrize(
    ("every", "after", "due"),
    [
        ("day", "2026-02-01T09:30:00", "2026-02-02"),
        ("day", "2026-02-01T00:00:00", "2026-02-02"),
        ("week", "2026-02-01T23:59:59", "2026-02-02"),  # a Sunday
        ("week", "2026-02-02T00:00:00", "2026-02-09"),  # a Monday
        ("month", "2026-01-31T12:00:00", "2026-02-01"),
        ("month", "2026-12-01T00:00:00", "2027-01-01"),
    ],
)
def test_the_next_payout(every: Every, after: str, due: str) -> None:
    found = next_payout_at(every, datetime.fromisoformat(after).replace(tzinfo=UTC))
    assert found == datetime.fromisoformat(due).replace(tzinfo=UTC)


def test_on_demand_nothing_is_due() -> None:
    assert next_payout_at("manual", datetime(2026, 2, 1, tzinfo=UTC)) is None


def test_hold_days_count_from_the_payment() -> None:
    paid_at = datetime(2026, 2, 1, 9, 30, tzinfo=UTC)
    assert available_at(paid_at, 7) == datetime(2026, 2, 8, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("asked", "decided"),
    [
        (PayoutRequest(), (8_500, "eur")),
        (PayoutRequest(currency="eur"), (8_500, "eur")),
        (PayoutRequest(1_000, "eur"), (1_000, "eur")),
    ],
)
def test_what_is_paid_out(asked: PayoutRequest, decided: tuple[int, str]) -> None:
    assert Payable({"eur": 8_500, "usd": -20}, Minimum(1_000)).decide(asked) == decided


@pytest.mark.parametrize(
    ("available", "asked", "code"),
    [
        ({}, PayoutRequest(), "insufficient_balance"),
        ({"eur": -1}, PayoutRequest(), "insufficient_balance"),
        ({"eur": 0}, PayoutRequest(currency="eur"), "insufficient_balance"),
        ({"eur": 500}, PayoutRequest(501, "eur"), "insufficient_balance"),
        ({"eur": 500}, PayoutRequest(5, "usd"), "insufficient_balance"),
        ({"eur": 99}, PayoutRequest(), "below_minimum"),
        ({"eur": 500}, PayoutRequest(99, "eur"), "below_minimum"),
        ({"eur": 500, "usd": 1}, PayoutRequest(), "currency_required"),
    ],
)
def test_what_is_not_paid_out(available: dict[str, int], asked: PayoutRequest, code: str) -> None:
    with pytest.raises(PayoutRefused) as refused:
        Payable(available, Minimum(100)).decide(asked)
    assert refused.value.code == code


def test_a_minimum_may_be_of_one_currency() -> None:
    assert (Minimum(100, "eur").of("eur"), Minimum(100, "eur").of("usd"), Minimum().of("eur")) == (100, 1, 1)
