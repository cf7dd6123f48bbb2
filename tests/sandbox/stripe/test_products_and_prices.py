"""Products and prices: every billing scheme a catalog needs, lookup keys that move, what cannot change."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.support.sandbox_stripe.stand_in import StandIn


def test_a_recurring_price_of_a_new_product(stand_in: StandIn) -> None:
    price = stand_in.api.prices.create(
        {"currency": "EUR", "unit_amount": 4900, "recurring": {"interval": "month"},
         "product_data": {"name": "Solo", "metadata": {"code": "solo"}}, "lookup_key": "solo_monthly"}
    )  # fmt: skip
    assert (price.currency, price.unit_amount, price.type) == ("eur", 4900, "recurring")
    assert price.recurring is not None
    assert (price.recurring.interval, price.recurring.interval_count) == ("month", 1)
    assert stand_in.api.products.retrieve(str(price.product)).name == "Solo"


def test_tiers_are_shown_only_when_asked_for(stand_in: StandIn) -> None:
    product = stand_in.api.products.create({"name": "Team"})
    price = stand_in.api.prices.create(
        {
            "currency": "eur", "product": product.id, "recurring": {"interval": "year"},
            "billing_scheme": "tiered", "tiers_mode": "volume",
            "tiers": [{"up_to": 10, "unit_amount": 1000, "flat_amount": 50},
                      {"up_to": "inf", "unit_amount_decimal": "0.5"}],
        }
    )  # fmt: skip
    assert "tiers" not in price.to_dict()
    shown = stand_in.api.prices.retrieve(price.id, {"expand": ["tiers"]}).to_dict()["tiers"]
    assert [(tier["up_to"], tier["unit_amount"], tier["flat_amount"]) for tier in shown] == [
        (10, 1000, 50),
        (None, None, None),
    ]
    assert float(shown[1]["unit_amount_decimal"]) == 0.5


@pytest.mark.parametrize(
    "tiers",
    [
        [{"up_to": 5, "unit_amount": 1}],
        [{"up_to": "inf", "unit_amount": 1}, {"up_to": 5, "unit_amount": 1}],
        [{"up_to": 5, "unit_amount": 1}, {"up_to": 5, "unit_amount": 1}, {"up_to": "inf", "unit_amount": 1}],
        [{"up_to": "inf"}],
    ],
    ids=["bounded", "unbounded first", "not ascending", "without amount"],
)
def test_tiers_that_make_no_sense_are_refused(stand_in: StandIn, tiers: list[Any]) -> None:
    product = stand_in.api.products.create({"name": "Team"})
    with pytest.raises(stripe.InvalidRequestError):
        stand_in.api.prices.create(
            {"currency": "eur", "product": product.id, "billing_scheme": "tiered", "tiers_mode": "graduated",
             "tiers": tiers}
        )  # fmt: skip
    assert stand_in.api.prices.list().data == []


def test_a_lookup_key_belongs_to_one_price_and_can_be_moved(stand_in: StandIn) -> None:
    product = stand_in.api.products.create({"name": "Team"})
    make: dict[str, Any] = {"currency": "eur", "product": product.id, "lookup_key": "team"}
    old = stand_in.api.prices.create({**make, "unit_amount": 100})
    with pytest.raises(stripe.InvalidRequestError, match="already uses that lookup key"):
        stand_in.api.prices.create({**make, "unit_amount": 200})
    new = stand_in.api.prices.create({**make, "unit_amount": 200, "transfer_lookup_key": True})
    assert [price.id for price in stand_in.api.prices.list({"lookup_keys": ["team"]}).data] == [new.id]
    assert stand_in.api.prices.retrieve(old.id).lookup_key is None


def test_archived_prices_are_filtered_and_immutable(stand_in: StandIn) -> None:
    product = stand_in.api.products.create({"name": "Team"})
    price = stand_in.api.prices.create({"currency": "eur", "product": product.id, "unit_amount": 100})
    assert stand_in.api.prices.update(price.id, {"active": False}).active is False
    assert stand_in.api.prices.list({"active": True}).data == []
    assert len(stand_in.api.prices.list({"product": product.id, "active": False}).data) == 1
    with pytest.raises(stripe.InvalidRequestError) as caught:
        stand_in.api.prices.update(price.id, {"unit_amount": 200})
    assert caught.value.code == "parameter_unknown"


def test_a_product_with_prices_is_archived_not_deleted(stand_in: StandIn) -> None:
    product = stand_in.api.products.create({"id": "team", "name": "Team"})
    stand_in.api.prices.create({"currency": "eur", "product": product.id, "unit_amount": 100})
    with pytest.raises(stripe.InvalidRequestError, match="cannot be deleted"):
        stand_in.api.products.delete("team")
    assert stand_in.api.products.update("team", {"active": False}).active is False
    assert stand_in.api.products.list({"active": True}).data == []
    event = stand_in.api.events.list({"type": "product.updated"}).data[0].to_dict()
    # `updated` is among them, too, where a second has passed.
    assert event["data"]["previous_attributes"].items() >= {"active": True}.items()


def test_the_same_product_id_cannot_be_made_twice(stand_in: StandIn) -> None:
    stand_in.api.products.create({"id": "team", "name": "Team"})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        stand_in.api.products.create({"id": "team", "name": "Team"})
    assert caught.value.code == "resource_already_exists"
