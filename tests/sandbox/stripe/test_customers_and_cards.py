"""Customers, cards, balances, payments and refunds; cards that fail or need authentication."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import stripe

from tests.support.sandbox_stripe.stand_in import StandIn


def a_customer_with(stand_in: StandIn, token: str) -> tuple[str, str]:
    """A customer and the id of the card saved to it."""
    customer = stand_in.api.customers.create({"email": "ann@example.com", "payment_method": token})
    return customer.id, stand_in.api.customers.payment_methods.list(customer.id).data[0].id


def test_a_saved_card_can_be_made_the_default(stand_in: StandIn) -> None:
    customer_id, card_id = a_customer_with(stand_in, "pm_card_mastercard")
    customer = stand_in.api.customers.update(
        customer_id,
        {"invoice_settings": {"default_payment_method": card_id}},
    )
    assert customer.invoice_settings is not None
    assert customer.invoice_settings.default_payment_method == card_id
    card = stand_in.api.payment_methods.retrieve(card_id).card
    assert card is not None
    assert (card.brand, card.last4) == ("mastercard", "4444")
    stand_in.api.payment_methods.detach(card_id)
    customer = stand_in.api.customers.retrieve(customer_id)
    assert customer.invoice_settings is not None
    assert customer.invoice_settings.default_payment_method is None
    assert stand_in.api.payment_methods.list({"customer": customer_id}).data == []


def test_a_test_token_makes_a_new_card_each_time(stand_in: StandIn) -> None:
    customer_id, card_id = a_customer_with(stand_in, "pm_card_visa")
    second = stand_in.api.payment_methods.attach("pm_card_visa", {"customer": customer_id})
    assert second.id != card_id
    assert second.customer == customer_id
    other = stand_in.api.customers.create()
    with pytest.raises(stripe.InvalidRequestError, match="already been attached"):
        stand_in.api.payment_methods.attach(card_id, {"customer": other.id})


def test_a_card_by_number_keeps_its_expiry(stand_in: StandIn) -> None:
    made = stand_in.api.payment_methods.create(
        {
            "type": "card",
            "card": {"number": "4242424242424242", "exp_month": 3, "exp_year": 2040, "cvc": "123"},
        }
    )
    assert made.card is not None
    assert (made.card.exp_month, made.card.exp_year) == (3, 2040)
    with pytest.raises(stripe.CardError) as caught:
        stand_in.api.payment_methods.create(
            {"type": "card", "card": {"number": "4242424242424241", "exp_month": 3, "exp_year": 2040}}
        )
    assert caught.value.code == "incorrect_number"


@pytest.mark.parametrize(
    ("token", "decline_code"),
    [
        ("pm_card_visa_chargeDeclined", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "insufficient_funds"),
    ],
)
def test_a_declined_card_cannot_be_saved_and_leaves_no_customer(
    stand_in: StandIn, token: str, decline_code: str
) -> None:
    with pytest.raises(stripe.CardError) as caught:
        stand_in.api.customers.create({"payment_method": token})
    assert caught.value.http_status == 402
    assert caught.value.code == "card_declined"
    body: Any = caught.value.json_body
    assert body["error"]["decline_code"] == decline_code
    assert stand_in.api.customers.list().data == []


def test_a_card_that_fails_later_can_be_saved_but_not_charged(stand_in: StandIn) -> None:
    customer_id, card_id = a_customer_with(stand_in, "pm_card_chargeCustomerFail")
    with pytest.raises(stripe.CardError) as caught:
        stand_in.api.payment_intents.create(
            {"amount": 900, "currency": "eur", "customer": customer_id, "payment_method": card_id,
             "confirm": True, "off_session": True}
        )  # fmt: skip
    assert caught.value.code == "card_declined"
    intent = stand_in.api.payment_intents.list({"customer": customer_id}).data[0]
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error is not None
    assert intent.last_payment_error.decline_code == "generic_decline"
    paid = stand_in.api.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert (paid.status, paid.amount_received) == ("succeeded", 900)


@pytest.mark.parametrize(
    ("answer", "status"), [("confirm", "succeeded"), ("fail", "requires_payment_method")]
)
def test_a_payment_waits_for_authentication(
    stand_in: StandIn, browser: httpx.Client, answer: str, status: str
) -> None:
    intent = stand_in.api.payment_intents.create(
        {"amount": 900, "currency": "eur", "payment_method": "pm_card_authenticationRequired",
         "confirm": True, "return_url": "https://shop.example/back?a=1"}
    )  # fmt: skip
    assert intent.status == "requires_action"
    assert intent.next_action is not None
    assert intent.next_action.redirect_to_url is not None
    page = str(intent.next_action.redirect_to_url.url)
    assert "Complete authentication" in browser.get(page).text
    back = browser.post(page, data={answer: "1"})
    assert back.status_code == 303
    assert back.headers["location"].startswith(f"https://shop.example/back?a=1&payment_intent={intent.id}")
    assert stand_in.api.payment_intents.retrieve(intent.id).status == status


def test_off_session_authentication_is_declined(stand_in: StandIn) -> None:
    customer_id, card_id = a_customer_with(stand_in, "pm_card_authenticationRequired")
    with pytest.raises(stripe.CardError) as caught:
        stand_in.api.payment_intents.create(
            {"amount": 900, "currency": "eur", "customer": customer_id, "payment_method": card_id,
             "confirm": True, "off_session": True}
        )  # fmt: skip
    assert caught.value.code == "authentication_required"


def test_a_card_set_up_with_authentication_can_be_charged_later(
    stand_in: StandIn, browser: httpx.Client
) -> None:
    customer = stand_in.api.customers.create()
    setup = stand_in.api.setup_intents.create(
        {"customer": customer.id, "payment_method": "pm_card_authenticationRequiredOnSetup", "confirm": True}
    )
    assert setup.status == "requires_action"
    assert stand_in.api.customers.payment_methods.list(customer.id).data == []
    browser.post(f"{stand_in.url}/authenticate/{setup.id}", data={"confirm": "1"})
    setup = stand_in.api.setup_intents.retrieve(setup.id)
    assert setup.status == "succeeded"
    paid = stand_in.api.payment_intents.create(
        {"amount": 900, "currency": "eur", "customer": customer.id,
         "payment_method": str(setup.payment_method), "confirm": True, "off_session": True}
    )  # fmt: skip
    assert paid.status == "succeeded"


def test_a_paid_or_canceled_intent_cannot_be_confirmed_again(stand_in: StandIn) -> None:
    intent = stand_in.api.payment_intents.create({"amount": 900, "currency": "eur"})
    assert stand_in.api.payment_intents.cancel(intent.id).status == "canceled"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        stand_in.api.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert caught.value.code == "payment_intent_unexpected_state"


def test_a_charge_is_refunded_in_parts_but_never_more_than_paid(stand_in: StandIn) -> None:
    intent = stand_in.api.payment_intents.create(
        {"amount": 900, "currency": "eur", "payment_method": "pm_card_visa", "confirm": True}
    )
    refund = stand_in.api.refunds.create({"payment_intent": intent.id, "amount": 600})
    assert (refund.status, refund.amount) == ("succeeded", 600)
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded"):
        stand_in.api.refunds.create({"payment_intent": intent.id, "amount": 301})
    assert stand_in.api.refunds.create({"payment_intent": intent.id}).amount == 300
    charge = stand_in.api.charges.retrieve(str(intent.latest_charge))
    assert (charge.refunded, charge.amount_refunded) == (True, 900)


def test_a_balance_is_the_sum_of_its_transactions(stand_in: StandIn) -> None:
    customer = stand_in.api.customers.create()
    for amount in (-500, 200):
        stand_in.api.customers.balance_transactions.create(customer.id, {"amount": amount, "currency": "eur"})
    assert stand_in.api.customers.retrieve(customer.id).balance == -300
    listed = stand_in.api.customers.balance_transactions.list(customer.id).data
    assert [(each.amount, each.ending_balance) for each in listed] == [(200, -300), (-500, -500)]


def test_a_deleted_customer_stays_known_as_deleted(stand_in: StandIn) -> None:
    customer_id, card_id = a_customer_with(stand_in, "pm_card_visa")
    assert stand_in.api.customers.delete(customer_id).deleted is True
    assert stand_in.api.customers.retrieve(customer_id).deleted is True
    assert stand_in.api.payment_methods.retrieve(card_id).customer is None
    with pytest.raises(stripe.InvalidRequestError):
        stand_in.api.customers.update(customer_id, {"name": "Ann"})
    assert stand_in.api.customers.list().data == []


def test_customers_are_found_by_email(stand_in: StandIn) -> None:
    for email in ("ann@example.com", "bob@example.com"):
        stand_in.api.customers.create({"email": email})
    assert [each.email for each in stand_in.api.customers.list({"email": "bob@example.com"}).data] == [
        "bob@example.com"
    ]
