"""Which items of a running subscription get other tax rates when the catalog replaces a rate."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from services.subscriptions.domain.catalog.catalog_view import CatalogView
from services.subscriptions.domain.outdated_tax_rates import has_archived_rates, outdated_items
from services.subscriptions.domain.stripe_objects import StripeItem, StripeSubscription
from tallystick.messages.tax_rates import TaxRate
from tests.support.price_values import price

ITEM = StripeItem("si_1", "price_1", None, 1, tax_rates=("txr_old",))
SUBSCRIPTION = StripeSubscription(
    "sub_1", "cus_1", "active", False, False, (ITEM,), None, None, None, None, False, None, None,
    datetime(2026, 1, 1, tzinfo=UTC), None, None,
)  # fmt: skip


def rate(code: str, *, archived: bool) -> TaxRate:
    return TaxRate(
        tax_rate_id=f"taxrate_{code}", version=1, code=code, display_name="VAT", description=None,
        percentage="19", inclusive=False, country="DE", state=None, jurisdiction=None, tax_type="vat",
        default=True, archived=archived, stripe_tax_rate_id=f"txr_{code}",
    )  # fmt: skip


def catalog(*codes: str, archived: bool = True) -> CatalogView:
    sold = price("flat", unit_amount=100, tax_rates=list(codes), stripe_price_id="price_1")
    rates = {"old": rate("old", archived=archived), "new": rate("new", archived=False)}
    return CatalogView(prices={sold.code: sold}, tax_rates=rates)


def test_an_archived_rate_is_replaced_by_those_of_the_price() -> None:
    assert outdated_items(SUBSCRIPTION, catalog("new")) == {"si_1": ["txr_new"]}
    assert has_archived_rates(catalog("new")) and not has_archived_rates(catalog("new", archived=False))


@pytest.mark.parametrize(
    ("item", "subscription", "codes"),
    [
        ({}, {}, []),
        ({"tax_rates": ()}, {}, ["new"]),
        ({"tax_rates": ("txr_staff",)}, {}, ["new"]),
        ({"tax_rates": ("txr_old", "txr_staff")}, {}, ["new"]),
        ({"tax_rates": ("txr_new",)}, {}, ["new"]),
        ({"stripe_price_id": "price_2"}, {}, ["new"]),
        ({}, {"automatic_tax": True}, ["new"]),
        ({}, {"schedule_id": "sub_sched_1"}, ["new"]),
    ],
)
def test_everything_else_stays_as_it_is(
    item: dict[str, Any], subscription: dict[str, Any], codes: list[str]
) -> None:
    running = replace(SUBSCRIPTION, items=(replace(ITEM, **item),), **subscription)
    assert outdated_items(running, catalog(*codes)) == {}
