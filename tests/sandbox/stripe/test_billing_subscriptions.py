"""Subscriptions from their first invoice to their end, by hand-written figures."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import stripe

from tests.support.sandbox_stripe.billing_world import World, at, running
from tests.support.sandbox_stripe.stand_in import StandIn


@pytest.fixture(scope="module")
def served() -> Iterator[StandIn]:
    with running() as found:
        yield found


@pytest.fixture
def world(served: StandIn) -> World:
    return World(served)


def test_a_paid_first_invoice_makes_the_subscription_active(world: World) -> None:
    subscription = world.subscribe((world.price(1000), 3), metadata={"plan": "team"})

    assert subscription.status == "active"
    item = subscription["items"].data[0]
    assert (item.current_period_start, item.current_period_end) == (at("2026-01-01"), at("2026-02-01"))
    invoice = world.v1.invoices.retrieve(subscription.latest_invoice)
    assert (invoice.status, invoice.total, invoice.amount_paid, invoice.amount_remaining) == (
        "paid",
        3000,
        3000,
        0,
    )
    assert invoice.billing_reason == "subscription_create"
    assert invoice.parent.subscription_details.subscription == subscription.id
    assert invoice.parent.subscription_details.metadata.to_dict() == {"plan": "team"}
    line = invoice.lines.data[0]
    assert line.description == "3 × Team (at €10.00 / month)"
    assert line.parent.subscription_item_details.subscription_item == item.id
    assert line.parent.subscription_item_details.proration is False
    assert (line.period.start, line.period.end) == (at("2026-01-01"), at("2026-02-01"))


def test_the_events_of_a_first_payment_come_in_order(world: World) -> None:
    world.subscribe((world.price(), 1))

    relevant = [
        kind
        for kind in world.told()
        if kind.startswith(("customer.subscription", "invoice.", "payment_intent"))
    ]
    assert relevant == [
        "customer.subscription.created",
        "invoice.created",
        "invoice.finalized",
        "payment_intent.created",
        "payment_intent.succeeded",
        "invoice.updated",
        "invoice.paid",
        "invoice.payment_succeeded",
        "customer.subscription.updated",
    ]
    created, updated = world.events("customer.subscription")
    assert (created.data.object.status, updated.data.object.status) == ("incomplete", "active")
    assert updated.data.previous_attributes.to_dict() == {"status": "incomplete"}
    assert {event.created for event in (created, updated)} == {at("2026-01-01")}


def test_a_declined_first_payment_leaves_it_incomplete(served: StandIn) -> None:
    world = World(served, card="pm_card_chargeCustomerFail")
    subscription = world.subscribe((world.price(), 1))

    assert subscription.status == "incomplete"
    invoice = world.invoices()[0]
    assert (invoice.status, invoice.attempt_count, invoice.next_payment_attempt) == ("open", 1, None)
    paid = world.v1.invoices.pay(invoice.id, {"payment_method": world.use_card("pm_card_visa")})

    assert paid.status == "paid"
    assert world.subscription(subscription).status == "active"


def test_an_incomplete_subscription_expires_after_23_hours(served: StandIn) -> None:
    world = World(served, card="pm_card_chargeCustomerFail")
    subscription = world.subscribe((world.price(), 1))

    world.advance("2026-01-01T22:59:59")
    assert world.subscription(subscription).status == "incomplete"
    world.advance("2026-01-01T23:00:00")

    assert world.subscription(subscription).status == "incomplete_expired"
    assert world.totals() == [("void", 1000)]
    assert world.v1.subscriptions.list({"customer": world.customer}).data == []
    assert len(world.v1.subscriptions.list({"customer": world.customer, "status": "all"}).data) == 1


def test_error_if_incomplete_makes_nothing(served: StandIn) -> None:
    world = World(served, card="pm_card_chargeCustomerFail")

    with pytest.raises(stripe.CardError) as caught:
        world.subscribe((world.price(), 1), payment_behavior="error_if_incomplete")

    assert (caught.value.http_status, caught.value.code) == (402, "card_declined")
    assert world.v1.subscriptions.list({"customer": world.customer, "status": "all"}).data == []
    assert world.invoices() == []
    assert world.told("customer.subscription") == []


def test_without_a_card_an_automatic_subscription_is_refused(served: StandIn) -> None:
    world = World(served, card=None)

    with pytest.raises(stripe.InvalidRequestError, match="no attached payment source"):
        world.subscribe((world.price(), 1))

    assert world.v1.subscriptions.list({"customer": world.customer, "status": "all"}).data == []


def test_default_incomplete_waits_for_its_payment_intent(served: StandIn) -> None:
    world = World(served, card=None)
    subscription = world.subscribe(
        (world.price(), 1),
        payment_behavior="default_incomplete",
        payment_settings={"save_default_payment_method": "on_subscription"},
        expand=["latest_invoice.confirmation_secret", "latest_invoice.payments"],
    )
    assert subscription.status == "incomplete"
    payment = subscription.latest_invoice.payments.data[0]
    intent = payment.payment.payment_intent
    assert subscription.latest_invoice.confirmation_secret.client_secret.startswith(intent)

    world.v1.payment_intents.confirm(intent, {"payment_method": "pm_card_visa"})

    after = world.subscription(subscription)
    assert after.status == "active"
    assert after.default_payment_method is not None


def test_a_payment_needing_authentication_waits(served: StandIn) -> None:
    world = World(served, card="pm_card_authenticationRequired")
    subscription = world.subscribe((world.price(), 1), expand=["latest_invoice.payments"])

    assert subscription.status == "incomplete"
    intent = world.v1.payment_intents.retrieve(
        subscription.latest_invoice.payments.data[0].payment.payment_intent
    )
    assert intent.status == "requires_action"
    assert "invoice.payment_action_required" in world.told("invoice")


def test_a_customer_sent_invoices_is_active_at_once(world: World) -> None:
    subscription = world.subscribe((world.price(), 2), collection_method="send_invoice", days_until_due=14)

    assert subscription.status == "active"
    assert world.totals() == [("draft", 2000)]
    world.advance("2026-01-01T01:00:00")
    invoice = world.invoices()[0]
    assert (invoice.status, invoice.due_date) == ("open", at("2026-01-15T01:00:00"))
    assert "invoice.sent" in world.told("invoice")

    world.advance("2026-01-16")
    assert world.subscription(subscription).status == "past_due"
    world.v1.invoices.pay(invoice.id, {"paid_out_of_band": True})
    assert world.subscription(subscription).status == "active"


def test_several_items_are_billed_together(world: World) -> None:
    support = world.v1.products.create({"name": "Support"}).id
    subscription = world.subscribe((world.price(1000), 2), (world.price(500, product=support), 1))

    invoice = world.invoices()[0]
    assert world.amounts(invoice) == [2000, 500]
    second = subscription["items"].data[1]
    world.v1.subscription_items.delete(second.id, {"proration_behavior": "none"})
    world.advance("2026-02-01T02:00:00")
    assert world.totals() == [("paid", 2500), ("paid", 2000)]


def test_a_future_anchor_bills_a_stub_first(world: World) -> None:
    # 1 to 16 January 12:00 is half of the month before the anchor of 16 January 12:00 (16 December 12:00 on)
    subscription = world.subscribe((world.price(1000), 1), billing_cycle_anchor=at("2026-01-17"))

    # 16 of the 31 days of the cycle from 17 December: 1000 * 16 / 31 = 516.13
    assert world.totals() == [("paid", 516)]
    world.advance("2026-01-17T02:00:00")
    assert world.totals() == [("paid", 516), ("paid", 1000)]
    assert world.subscription(subscription)["items"].data[0].current_period_end == at("2026-02-17")


def test_cancel_at_period_end_can_be_undone(world: World) -> None:
    subscription = world.subscribe((world.price(), 1))
    canceling = world.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    assert (canceling.status, canceling.cancel_at) == ("active", at("2026-02-01"))
    back = world.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": False})
    assert (back.cancel_at, back.canceled_at, back.cancel_at_period_end) == (None, None, False)

    world.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    world.advance("2026-01-31T23:59:59")
    assert world.subscription(subscription).status == "active"
    world.advance("2026-02-01")

    ended = world.subscription(subscription)
    assert (ended.status, ended.ended_at) == ("canceled", at("2026-02-01"))
    assert world.totals() == [("paid", 1000)]
    assert world.told("customer.subscription")[-1] == "customer.subscription.deleted"


def test_cancel_now_credits_unused_time_if_asked(world: World) -> None:
    subscription = world.subscribe((world.price(1000), 3))
    world.advance("2026-01-16T12:00:00")

    ended = world.v1.subscriptions.cancel(subscription.id, {"prorate": True, "invoice_now": True})

    assert ended.status == "canceled"
    assert world.totals() == [("paid", 3000), ("paid", -1500)]
    assert world.v1.customers.retrieve(world.customer).balance == -1500
    with pytest.raises(stripe.InvalidRequestError):
        world.v1.subscriptions.cancel(subscription.id)
    with pytest.raises(stripe.InvalidRequestError, match="canceled subscription"):
        world.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})


def test_credit_of_the_customer_is_used_before_the_card(world: World) -> None:
    world.v1.customers.balance_transactions.create(world.customer, {"amount": -700, "currency": "eur"})
    world.subscribe((world.price(1000), 1))

    invoice = world.invoices()[0]
    assert (invoice.total, invoice.amount_due, invoice.amount_paid) == (1000, 300, 300)
    assert (invoice.starting_balance, invoice.ending_balance) == (-700, 0)
    assert world.v1.customers.retrieve(world.customer).balance == 0


def test_a_coupon_takes_its_share_for_as_long_as_it_lasts(world: World) -> None:
    coupon = world.v1.coupons.create({"percent_off": 25, "duration": "once"})
    world.subscribe((world.price(1000), 2), discounts=[{"coupon": coupon.id}])
    world.advance("2026-02-01T02:00:00")

    assert world.totals() == [("paid", 1500), ("paid", 2000)]
    assert world.invoices()[0].total_discount_amounts[0].amount == 500


def test_metadata_updates_tell_only_what_changed(world: World) -> None:
    subscription = world.subscribe((world.price(), 1), metadata={"a": "1", "b": "2"})
    world.v1.subscriptions.update(subscription.id, {"metadata": {"b": "3", "a": ""}})

    event = world.events("customer.subscription.updated")[-1]
    assert event.data.previous_attributes.to_dict() == {"metadata": {"a": "1", "b": "2"}}
    assert event.data.object.metadata.to_dict() == {"b": "3"}


def test_an_update_without_difference_makes_no_event(world: World) -> None:
    subscription = world.subscribe((world.price(), 2))
    before = len(world.events("customer.subscription"))
    world.change(subscription, 2)
    world.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": False})

    assert len(world.events("customer.subscription")) == before


def test_lists_filter_by_price_and_status(world: World) -> None:
    price = world.price()
    subscription = world.subscribe((price, 1))

    def listed(**params: str) -> list[str]:
        found = world.v1.subscriptions.list({"customer": world.customer, **params}).data
        return [each.id for each in found]

    assert listed(price=price) == [subscription.id]
    assert listed(price=world.price()) == []
    assert listed(status="active") == [subscription.id]
    assert listed(status="canceled") == []


def test_unsupported_billing_parameters_are_rejected(world: World) -> None:
    price = world.price(1000)
    for wish in (
        {"default_tax_rates": ["txr_1"]},
        {"automatic_tax": {"enabled": True}},
        {"items": [{"price": price, "discounts": [{"coupon": "half"}]}]},
    ):
        with pytest.raises(stripe.InvalidRequestError, match=r"tax|discounts"):
            world.subscribe((price, 1), **wish)
    assert world.totals() == []
