"""The billing portal: a customer changes the card, cancels the plan and undoes it."""

from __future__ import annotations

import httpx
import pytest
import stripe

from tests.support.sandbox_stripe.stand_in import StandIn


@pytest.fixture
def subscription(stand_in: StandIn) -> stripe.Subscription:
    """An active plan."""
    customer = stand_in.api.customers.create({"payment_method": "pm_card_visa"})
    card = stand_in.api.customers.payment_methods.list(customer.id).data[0]
    price = stand_in.api.prices.create(
        {
            "currency": "eur",
            "unit_amount": 4900,
            "recurring": {"interval": "month"},
            "product_data": {"name": "Solo"},
        }
    )
    made: stripe.Subscription = stand_in.api.subscriptions.create(
        {"customer": customer.id, "items": [{"price": price.id}], "default_payment_method": card.id}
    )
    return made


def open_portal(stand_in: StandIn, subscription: stripe.Subscription) -> str:
    """The portal's address for the subscription's customer."""
    session = stand_in.api.billing_portal.sessions.create(
        {"customer": str(subscription.customer), "return_url": "https://shop.example/account"}
    )
    return str(session.url)


def test_the_page_shows_plan_card_and_invoices(
    stand_in: StandIn, browser: httpx.Client, subscription: stripe.Subscription
) -> None:
    page = browser.get(open_portal(stand_in, subscription)).text
    for words in ("Solo", "Visa ending in 4242", "€49.00", "https://shop.example/account"):
        assert words in page


def test_the_portal_cancels_at_period_end_and_undoes_it(
    stand_in: StandIn, browser: httpx.Client, subscription: stripe.Subscription
) -> None:
    url = open_portal(stand_in, subscription)
    for button, expected in (("cancel_subscription", True), ("keep_subscription", False)):
        assert browser.post(url, data={button: subscription.id}).status_code == 303
        now = stand_in.api.subscriptions.retrieve(subscription.id)
        assert (now.status, now.cancel_at_period_end) == ("active", expected)


def test_a_new_card_pays_from_now_on(
    stand_in: StandIn, browser: httpx.Client, subscription: stripe.Subscription
) -> None:
    url = open_portal(stand_in, subscription)
    assert browser.post(url, data={"card_number": "4000000000000002"}).status_code == 402
    assert browser.post(url, data={"card_number": "5555555555554444"}).status_code == 303
    assert "Mastercard ending in 4444" in browser.get(url).text
    now = stand_in.api.subscriptions.retrieve(subscription.id, {"expand": ["default_payment_method"]})
    assert now.default_payment_method.card.last4 == "4444"


def test_nobody_can_end_another_customers_plan(
    stand_in: StandIn, browser: httpx.Client, subscription: stripe.Subscription
) -> None:
    other = stand_in.api.customers.create()
    session = stand_in.api.billing_portal.sessions.create(
        {"customer": other.id, "return_url": "https://a.example"}
    )
    assert browser.post(session.url, data={"cancel_subscription": subscription.id}).status_code == 404
    assert stand_in.api.subscriptions.retrieve(subscription.id).cancel_at_period_end is False


def test_a_customer_changes_country_and_vat_id(
    stand_in: StandIn, browser: httpx.Client, subscription: stripe.Subscription
) -> None:
    portal = open_portal(stand_in, subscription)
    assert browser.post(portal, data={"tax_id": "nonsense"}).status_code == 400
    assert browser.post(portal, data={"country": "at", "tax_id": "ATU12345678"}).status_code == 303
    customer = stand_in.api.customers.retrieve(str(subscription.customer), {"expand": ["tax_ids"]})
    assert customer.address is not None and customer.address.country == "AT"
    assert customer.tax_ids is not None and customer.tax_ids.data[0].value == "ATU12345678"
    assert "now ATU12345678" in browser.get(portal).text
