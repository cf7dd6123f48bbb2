"""Checkout from the session to the subscription, as a browser or a script goes through it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import stripe

from tests.support.sandbox_stripe.stand_in import StandIn

SUCCESS = "https://shop.example/ok?session={CHECKOUT_SESSION_ID}"
CANCEL = "https://shop.example/no"
GOOD, DECLINED, FAILS_LATER, NO_FUNDS = (
    "4242424242424242", "4000000000000002", "4000000000000341", "4000000000009995",
)  # fmt: skip
ASKS_ONCE, ASKS_ALWAYS = "4000002500003155", "4000002760003184"


def a_price(stand_in: StandIn, currency: str = "eur", name: str = "Team", **extra: Any) -> str:
    """Up to five at 10.00 each, further ones at 8.00, a month."""
    tiers = [{"up_to": 5, "unit_amount": 1000}, {"up_to": "inf", "unit_amount": 800}]
    params: dict[str, Any] = {
        "currency": currency, "product_data": {"name": name}, "recurring": {"interval": "month"},
        "billing_scheme": "tiered", "tiers_mode": "graduated", "tiers": tiers,
    }  # fmt: skip
    return str(stand_in.api.prices.create({**params, **extra}).id)


def a_session(stand_in: StandIn, **params: Any) -> stripe.checkout.Session:
    """A session for eight seats: 5 × 10.00 + 3 × 8.00 = 74.00."""
    defaults: dict[str, Any] = {"mode": "subscription", "success_url": SUCCESS, "cancel_url": CANCEL}
    if "line_items" not in params and params.get("mode") != "setup":
        defaults["line_items"] = [{"price": a_price(stand_in), "quantity": 8}]
    made: stripe.checkout.Session = stand_in.api.checkout.sessions.create({**defaults, **params})
    return made


def again(stand_in: StandIn, session: stripe.checkout.Session, *expand: str) -> Any:
    """The session as it is now."""
    return stand_in.api.checkout.sessions.retrieve(session.id, {"expand": list(expand)})


def test_paying_makes_an_active_subscription_with_the_card_saved(
    stand_in: StandIn, browser: httpx.Client
) -> None:
    customer = stand_in.api.customers.create({"email": "ann@example.com"})
    session = a_session(
        stand_in, customer=customer.id, client_reference_id="ref-1", metadata={"a": "session"},
        subscription_data={"metadata": {"a": "subscription"}},
    )  # fmt: skip
    assert (session.status, session.payment_status, session.amount_total) == ("open", "unpaid", 7400)
    assert session.expires_at == session.created + 24 * 3600
    page = browser.get(str(session.url))
    assert page.status_code == 200
    assert "€74.00" in page.text
    paid = browser.post(str(session.url), data={"card_number": "4242 4242 4242 4242"})
    assert paid.status_code == 303
    assert paid.headers["location"] == f"https://shop.example/ok?session={session.id}"
    done = again(stand_in, session, "subscription.latest_invoice", "line_items")
    assert (done.status, done.payment_status, done.client_reference_id) == ("complete", "paid", "ref-1")
    assert done.url is None
    assert done.line_items.data[0].amount_total == 7400
    assert done.subscription.status == "active"
    assert done.subscription.metadata["a"] == "subscription"
    assert done.subscription.latest_invoice.amount_paid == 7400
    card = stand_in.api.payment_methods.retrieve(done.subscription.default_payment_method)
    assert card.customer == customer.id
    assert done.invoice == done.subscription.latest_invoice.id


def test_events_come_in_stripes_order(stand_in: StandIn, browser: httpx.Client) -> None:
    session = a_session(stand_in, customer_email="ann@example.com")
    browser.post(str(session.url), data={"card_number": GOOD})
    types = [event.type for event in stand_in.api.events.list({"limit": 100}).data][::-1]
    told = [
        "customer.created", "payment_method.attached", "customer.subscription.created", "invoice.created",
        "invoice.finalized", "payment_intent.succeeded", "invoice.paid", "invoice.payment_succeeded",
        "customer.subscription.updated", "checkout.session.completed",
    ]  # fmt: skip
    assert [each for each in types if each in told] == told
    created = stand_in.api.events.list({"type": "customer.subscription.created"}).data[0].to_dict()
    assert created["data"]["object"]["status"] == "incomplete"
    updated = stand_in.api.events.list({"type": "customer.subscription.updated"}).data[0].to_dict()
    assert updated["data"]["object"]["status"] == "active"


@pytest.mark.parametrize("fields", [{"card_number": DECLINED}, {"card_number": NO_FUNDS}, {"decline": "1"},
                                    {"card_number": FAILS_LATER}, {"card_number": "1234"}, {}])  # fmt: skip
def test_a_decline_leaves_the_session_open(
    stand_in: StandIn, browser: httpx.Client, fields: dict[str, str]
) -> None:
    session = a_session(stand_in, customer_email="ann@example.com")
    answer = browser.post(str(session.url), data=fields)
    assert answer.status_code == 402
    assert 'role="alert"' in answer.text
    assert again(stand_in, session).status == "open"
    assert stand_in.api.subscriptions.list().data == []
    assert browser.post(str(session.url), data={"card_number": GOOD}).status_code == 303


def test_giving_up_goes_back_to_the_shop(stand_in: StandIn, browser: httpx.Client) -> None:
    session = a_session(stand_in)
    answer = browser.post(str(session.url), data={"cancel": "1"})
    assert (answer.status_code, answer.headers["location"]) == (303, CANCEL)
    assert again(stand_in, session).status == "open"


@pytest.mark.parametrize("number", [ASKS_ONCE, ASKS_ALWAYS])
def test_failed_authentication_can_be_retried(stand_in: StandIn, browser: httpx.Client, number: str) -> None:
    session = a_session(stand_in, customer_email="ann@example.com")
    step = browser.post(str(session.url), data={"card_number": number})
    assert step.status_code == 200
    assert "Complete authentication" in step.text
    assert browser.post(str(session.url), data={"fail": "1"}).status_code == 402
    assert stand_in.api.subscriptions.list().data == []
    browser.post(str(session.url), data={"card_number": number})
    assert browser.post(str(session.url), data={"confirm": "1"}).status_code == 303
    assert again(stand_in, session, "subscription").subscription.status == "active"


def test_a_trial_is_free_even_with_a_card_that_fails_later(stand_in: StandIn, browser: httpx.Client) -> None:
    session = a_session(stand_in, subscription_data={"trial_period_days": 14})
    assert session.amount_total == 0
    assert "Free for 14 days" in browser.get(str(session.url)).text
    assert browser.post(str(session.url), data={"card_number": FAILS_LATER}).status_code == 303
    done = again(stand_in, session, "subscription")
    assert (done.payment_status, done.subscription.status) == ("no_payment_required", "trialing")
    assert done.subscription.trial_end == done.subscription.trial_start + 14 * 86400


def test_a_trial_without_a_card_where_none_is_asked_for(stand_in: StandIn, browser: httpx.Client) -> None:
    session = a_session(
        stand_in, subscription_data={"trial_period_days": 7}, payment_method_collection="if_required"
    )
    assert browser.post(str(session.url), data={"email": "ann@example.com"}).status_code == 303
    done = again(stand_in, session, "subscription", "customer")
    assert (done.subscription.status, done.subscription.default_payment_method) == ("trialing", None)
    assert done.customer.email == "ann@example.com"


def test_paying_twice_is_paying_once(stand_in: StandIn, browser: httpx.Client) -> None:
    session = a_session(stand_in)
    for _ in range(2):
        assert browser.post(str(session.url), data={"card_number": GOOD}).status_code == 303
    assert len(stand_in.api.subscriptions.list().data) == 1


@pytest.mark.parametrize(
    ("currency", "shown"), [("jpy", "¥1000"), ("kwd", "KWD 1.000"), ("eur", "€10.00"), ("usd", "$10.00")]
)
def test_amounts_are_shown_with_their_currencys_decimals(
    stand_in: StandIn, browser: httpx.Client, currency: str, shown: str
) -> None:
    price = a_price(stand_in, currency)
    session = a_session(stand_in, line_items=[{"price": price, "quantity": 1}])
    assert shown in browser.get(str(session.url)).text


def test_what_is_bought_is_shown_without_trusting_its_name(stand_in: StandIn, browser: httpx.Client) -> None:
    price = a_price(stand_in, name="<script>alert(1)</script>")
    session = a_session(stand_in, line_items=[{"price": price, "quantity": 2}])
    page = browser.get(str(session.url)).text
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_one_payment_and_one_saved_card(stand_in: StandIn, browser: httpx.Client) -> None:
    mug = stand_in.api.prices.create({"currency": "jpy", "unit_amount": 500, "product_data": {"name": "Mug"}})
    bought = a_session(stand_in, mode="payment", line_items=[{"price": mug.id, "quantity": 2}])
    assert browser.post(str(bought.url), data={"card_number": GOOD}).status_code == 303
    done = again(stand_in, bought, "payment_intent")
    assert (done.payment_status, done.payment_intent.amount_received) == ("paid", 1000)
    customer = stand_in.api.customers.create()
    saved = a_session(stand_in, mode="setup", customer=customer.id, currency="eur")
    assert browser.post(str(saved.url), data={"card_number": GOOD}).status_code == 303
    assert again(stand_in, saved, "setup_intent").setup_intent.status == "succeeded"
    assert len(stand_in.api.customers.payment_methods.list(customer.id).data) == 1


def test_a_promotion_code_takes_its_share_off(stand_in: StandIn, browser: httpx.Client) -> None:
    coupon = stand_in.api.coupons.create({"percent_off": 25, "duration": "once"})
    code = stand_in.api.promotion_codes.create(
        {"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "FALL25", "max_redemptions": 1}
    )
    session = a_session(stand_in, allow_promotion_codes=True)
    assert browser.post(str(session.url), data={"promotion_code": "spring", "apply": "1"}).status_code == 400
    assert "€55.50" in browser.post(str(session.url), data={"promotion_code": "fall25", "apply": "1"}).text
    assert browser.post(str(session.url), data={"card_number": GOOD}).status_code == 303
    done = again(stand_in, session, "invoice")
    assert (done.amount_subtotal, done.amount_total, done.invoice.amount_paid) == (7400, 5550, 5550)
    assert stand_in.api.promotion_codes.retrieve(code.id).times_redeemed == 1
    with pytest.raises(stripe.InvalidRequestError, match="cannot be redeemed"):
        a_session(stand_in, discounts=[{"promotion_code": code.id}])


def test_a_session_expires_by_hand_and_then_sells_nothing(stand_in: StandIn, browser: httpx.Client) -> None:
    session = a_session(stand_in)
    url = str(session.url)
    assert stand_in.api.checkout.sessions.expire(session.id).status == "expired"
    assert browser.post(url, data={"card_number": GOOD}).status_code == 410
    with pytest.raises(stripe.InvalidRequestError):
        stand_in.api.checkout.sessions.expire(session.id)
    assert [each.id for each in stand_in.api.checkout.sessions.list({"status": "expired"}).data] == [
        session.id
    ]


def test_a_session_expires_after_a_day_on_its_customers_clock(stand_in: StandIn) -> None:
    clock = stand_in.api.test_helpers.test_clocks.create({"frozen_time": 1_767_225_600})
    customer = stand_in.api.customers.create({"test_clock": clock.id})
    session = a_session(stand_in, customer=customer.id)
    advance = stand_in.api.test_helpers.test_clocks.advance
    advance(clock.id, {"frozen_time": 1_767_225_600 + 24 * 3600 - 1})
    assert again(stand_in, session).status == "open"
    advance(clock.id, {"frozen_time": 1_767_225_600 + 24 * 3600})
    assert again(stand_in, session).status == "expired"
    expired = stand_in.api.events.list({"type": "checkout.session.expired"}).data
    assert [event.created for event in expired] == [1_767_225_600 + 24 * 3600]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"mode": "payment"}, "recurring price"),
        ({"customer": "cus_nobody"}, "No such customer"),
        ({"line_items": [{"price": "price_nothing", "quantity": 1}]}, "No such price"),
        ({"line_items": []}, "line_items"),
        ({"success_url": ""}, "success_url"),
        ({"subscription_data": {"trial_period_days": 0}}, "minimum number of trial period days"),
        ({"expires_at": 1}, "at least 30 minutes"),
        ({"payment_intent_data": {"description": "x"}}, "can not pass `payment_intent_data`"),
    ],
)
def test_sessions_that_cannot_be_sold_are_refused(
    stand_in: StandIn, params: dict[str, Any], words: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=words):
        a_session(stand_in, **params)
