"""Objects have exactly the fields of Stripe's objects in this API version."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support.sandbox_stripe.object_fields import FIELDS
from tests.support.sandbox_stripe.stand_in import StandIn


def make_everything(stand_in: StandIn, browser: httpx.Client) -> dict[str, dict[str, Any]]:
    """One object of each type, as the API shows it."""
    api = stand_in.api
    customer = api.customers.create({"email": "ann@example.com"})
    coupon = api.coupons.create({"percent_off": 10, "duration": "forever"})
    code = api.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon.id}})
    price = api.prices.create(
        {
            "currency": "eur",
            "unit_amount": 900,
            "recurring": {"interval": "month"},
            "product_data": {"name": "Solo"},
        }
    )
    session = api.checkout.sessions.create(
        {"mode": "subscription", "success_url": "https://shop.example", "customer": customer.id,
         "line_items": [{"price": price.id, "quantity": 1}], "discounts": [{"promotion_code": code.id}]}
    )  # fmt: skip
    browser.post(str(session.url), data={"card_number": "4242424242424242"})
    subscription = api.subscriptions.list({"expand": ["data.discounts"]}).data[0]
    charge = api.charges.list().data[0]
    portal = api.billing_portal.sessions.create(
        {"customer": customer.id, "return_url": "https://shop.example"}
    )
    setup = api.setup_intents.create({"customer": customer.id})
    endpoint = api.webhook_endpoints.create({"url": "https://shop.example", "enabled_events": ["a.b"]})
    made: list[Any] = [
        api.customers.retrieve(customer.id), coupon, code, price, api.products.retrieve(str(price.product)),
        api.checkout.sessions.retrieve(session.id), api.checkout.sessions.line_items.list(session.id).data[0],
        subscription.discounts[0], charge, api.refunds.create({"charge": charge.id, "amount": 1}),
        api.credit_notes.create(
            {"invoice": subscription.latest_invoice, "amount": 1, "out_of_band_amount": 1}
        ),
        api.payment_links.create({"line_items": [{"price": price.id, "quantity": 1}]}),
        _dispute(stand_in, browser, charge.id),
        api.payment_intents.list().data[0], api.customers.payment_methods.list(customer.id).data[0], setup,
        portal, api.billing_portal.configurations.list().data[0], api.events.list().data[0],
        api.webhook_endpoints.retrieve(endpoint.id), api.accounts.retrieve_current(),
        api.tax_rates.create({"display_name": "VAT", "percentage": 19, "inclusive": False}),
        api.customers.tax_ids.create(customer.id, {"type": "eu_vat", "value": "DE123456789"}),
        api.customers.balance_transactions.create(customer.id, {"amount": -5, "currency": "eur"}),
    ]  # fmt: skip
    return {each.object: each.to_dict() for each in made}


def _dispute(stand_in: StandIn, browser: httpx.Client, charge_id: str) -> Any:
    browser.post(f"{stand_in.url}/payments/{charge_id}", data={"dispute": "1"})
    return stand_in.api.disputes.list({"charge": charge_id}).data[0]


@pytest.fixture
def everything(stand_in: StandIn, browser: httpx.Client) -> dict[str, dict[str, Any]]:
    """One object of each type."""
    return make_everything(stand_in, browser)


def test_every_object_has_exactly_its_fields(everything: dict[str, dict[str, Any]]) -> None:
    assert set(everything) == set(FIELDS)
    for kind, shown in everything.items():
        assert (kind, sorted(shown)) == (kind, sorted(FIELDS[kind].split()))


def test_no_private_note_is_ever_shown(everything: dict[str, dict[str, Any]]) -> None:
    def names(value: Any) -> set[str]:
        if isinstance(value, dict):
            return set(value).union(*(names(item) for item in value.values()))
        return set().union(*(names(item) for item in value)) if isinstance(value, list) else set()

    assert [name for name in names(everything) if name.startswith("_")] == []
