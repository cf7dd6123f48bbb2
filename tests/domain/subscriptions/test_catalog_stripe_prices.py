"""The parameters of a Stripe price for each pricing model."""

from typing import Any

import pytest

from services.subscriptions.catalog.stripe_prices import money_differences, stripe_money
from tallystick.messages.catalog import Price, Tier


def price(model: str, **fields: Any) -> Price:
    plain = {
        "price_id": "price_1",
        "version": 1,
        "code": "p",
        "product": "x",
        "model": model,
        "currency": "eur",
        "interval": "month",
        "unit_amount": None,
        "base_amount": 0,
        "tiers": [],
        "trial_days": None,
        "listed": True,
        "archived": False,
        "stripe_price_id": None,
    }
    return Price.model_validate({**plain, **fields})


def tier(up_to: int | None, unit: int, flat: int = 0) -> Tier:
    return Tier(up_to=up_to, unit_amount=unit, flat_amount=flat)


def steps(money_of: Price, *, has_seats: bool = True) -> tuple[str | None, list[tuple[Any, ...]]]:
    money = stripe_money(money_of, has_seats=has_seats)
    return money.tiers_mode, [(step.up_to, step.unit_amount, step.flat_amount) for step in money.tiers]


def test_flat_prices_and_prices_per_seat_are_per_unit() -> None:
    for found in (
        stripe_money(price("flat", unit_amount=4900), has_seats=False),
        stripe_money(price("per_seat", unit_amount=4900), has_seats=True),
    ):
        assert found.parameters() == {
            "currency": "eur",
            "recurring": {"interval": "month", "interval_count": 1, "usage_type": "licensed"},
            "billing_scheme": "per_unit",
            "unit_amount": 4900,
        }


def test_a_price_every_three_months_is_one_in_stripe_too() -> None:
    quarterly = stripe_money(price("flat", unit_amount=4900, interval_count=3), has_seats=False)
    assert quarterly.parameters()["recurring"] == {
        "interval": "month",
        "interval_count": 3,
        "usage_type": "licensed",
    }
    found: dict[str, Any] = STRIPES_FLAT | {"recurring": {"interval": "month", "interval_count": 3}}
    assert money_differences(quarterly, found) == []
    assert money_differences(quarterly, STRIPES_FLAT) == ["recurring.interval_count"]


def test_a_teams_flat_price_does_not_depend_on_its_seats() -> None:
    assert steps(price("flat", unit_amount=4900)) == ("graduated", [(None, 0, 4900)])


def test_a_base_amount_per_seat_is_charged_once() -> None:
    found = steps(price("per_seat", unit_amount=1000, base_amount=500))
    assert found == ("graduated", [(None, 1000, 500)])


def test_a_base_amount_is_in_the_first_graduated_tier() -> None:
    graduated = price("graduated", base_amount=500, tiers=[tier(5, 1000, 20), tier(None, 800, 30)])
    assert steps(graduated) == ("graduated", [(5, 1000, 520), (None, 800, 30)])


def test_a_base_amount_is_in_every_volume_tier() -> None:
    volume = price("volume", base_amount=500, tiers=[tier(5, 1000), tier(None, 800, 30)])
    assert steps(volume) == ("volume", [(5, 1000, 500), (None, 800, 530)])


def test_an_unbounded_tier_is_called_inf_in_requests() -> None:
    parameters = stripe_money(
        price("volume", tiers=[tier(5, 1000), tier(None, 800)]), has_seats=True
    ).parameters()
    assert [step["up_to"] for step in parameters["tiers"]] == [5, "inf"]


def test_a_free_price_has_no_money_to_tell_stripe() -> None:
    with pytest.raises(ValueError, match="free"):
        stripe_money(price("free", currency=None), has_seats=False)


STRIPES_FLAT: dict[str, Any] = {
    "billing_scheme": "per_unit",
    "currency": "eur",
    "recurring": {"interval": "month", "interval_count": 1, "usage_type": "licensed"},
    "tiers_mode": None,
    "transform_quantity": None,
    "unit_amount": 4900,
}


def test_the_same_money_agrees() -> None:
    assert (
        money_differences(stripe_money(price("flat", unit_amount=4900), has_seats=False), STRIPES_FLAT) == []
    )


@pytest.mark.parametrize(
    ("theirs", "fields"),
    [
        ({"currency": "usd"}, ["currency"]),
        ({"unit_amount": 4901}, ["unit_amount"]),
        ({"unit_amount": None, "unit_amount_decimal": "4900.5"}, ["unit_amount"]),
        ({"recurring": {"interval": "month", "interval_count": 3}}, ["recurring.interval_count"]),
        ({"recurring": {"interval": "month", "usage_type": "metered"}}, ["recurring.usage_type"]),
        ({"recurring": None}, ["recurring.interval"]),
        ({"transform_quantity": {"divide_by": 5, "round": "up"}}, ["transform_quantity"]),
    ],
)
def test_other_money_disagrees(theirs: dict[str, Any], fields: list[str]) -> None:
    wanted = stripe_money(price("flat", unit_amount=4900), has_seats=False)
    assert money_differences(wanted, STRIPES_FLAT | theirs) == fields


def test_tiers_agree_however_stripe_writes_an_amount_of_nothing() -> None:
    wanted = stripe_money(price("graduated", tiers=[tier(5, 1000), tier(None, 0, 20)]), has_seats=True)
    theirs: dict[str, Any] = STRIPES_FLAT | {
        "billing_scheme": "tiered",
        "tiers_mode": "graduated",
        "unit_amount": None,
        "tiers": [
            {"up_to": 5, "unit_amount": 1000, "unit_amount_decimal": "1000", "flat_amount": None},
            {"up_to": None, "unit_amount": None, "unit_amount_decimal": None, "flat_amount": 20},
        ],
    }
    assert money_differences(wanted, theirs) == []
    fraction = {"up_to": None, "unit_amount": None, "unit_amount_decimal": "0.5", "flat_amount": 20}
    assert money_differences(wanted, theirs | {"tiers": [theirs["tiers"][0], fraction]}) == ["tiers"]
