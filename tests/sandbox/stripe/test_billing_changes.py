"""Subscription changes: prorations, previews that match the invoices, and failed payments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import stripe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.sandbox_stripe.billing_world import World, at, running
from tests.support.sandbox_stripe.stand_in import StandIn

TIERS: tuple[tuple[int | str, int], ...] = ((5, 1000), (10, 800), ("inf", 500))
HALF = "2026-01-16T12:00:00"


@pytest.fixture(scope="module")
def served() -> Iterator[StandIn]:
    with running() as found:
        yield found


@pytest.fixture
def world(served: StandIn) -> World:
    return World(served)


def shown(invoice: Any) -> list[tuple[str, int, int, int, bool]]:
    """What a preview and its invoice must have in common."""
    found = []
    for line in invoice.lines.data:
        details = line.parent.subscription_item_details
        found.append((line.description, line.amount, line.period.start, line.period.end, details.proration))
    return found


def preview(world: World, subscription: Any, quantity: int, **details: Any) -> Any:
    item = {"id": subscription["items"].data[0].id, "quantity": quantity}
    return world.v1.invoices.create_preview(
        {"subscription": subscription.id, "subscription_details": {"items": [item], **details}}
    )


def test_from_three_to_eight_seats_at_half_of_january(world: World) -> None:
    # 3 seats: 3000. To 8 with half left: -1500 + 3200; February: 6400 + 1700 = 8100.
    subscription = world.subscribe((world.tiered("volume", *TIERS), 3))
    world.advance(HALF)
    foreseen = preview(world, subscription, 8)
    world.change(subscription, 8)

    assert world.totals() == [("paid", 3000)]
    world.advance("2026-02-01T02:00:00")
    february = world.invoices()[-1]
    assert world.amounts(february) == [-1500, 3200, 6400]
    assert (february.status, february.total, foreseen.total) == ("paid", 8100, 8100)
    assert shown(foreseen) == shown(february)
    assert [line[0] for line in shown(february)] == [
        "Unused time on 3 × Team after 16 Jan 2026",
        "Remaining time on 8 × Team after 16 Jan 2026",
        "8 × Team (Tier 2 at €8.00 / month)",
    ]


def test_invoiced_at_once_the_difference_is_charged_now(world: World) -> None:
    subscription = world.subscribe((world.tiered("volume", *TIERS), 3))
    world.advance(HALF)
    foreseen = preview(world, subscription, 8, proration_behavior="always_invoice")
    world.change(subscription, 8, proration_behavior="always_invoice")

    assert world.totals() == [("paid", 3000), ("paid", 1700)]
    assert shown(foreseen) == shown(world.invoices()[-1])
    assert world.invoices()[-1].billing_reason == "subscription_update"
    world.advance("2026-02-01T02:00:00")
    assert world.totals()[-1] == ("paid", 6400)


def test_without_proration_only_the_next_period_differs(world: World) -> None:
    subscription = world.subscribe((world.tiered("graduated", *TIERS), 3))
    world.advance(HALF)
    world.change(subscription, 8, proration_behavior="none")
    world.advance("2026-02-01T02:00:00")

    february = world.invoices()[-1]
    assert (february.total, world.amounts(february)) == (7400, [5000, 2400])


def test_a_proration_date_is_kept_from_preview_to_change(world: World) -> None:
    subscription = world.subscribe((world.price(1000), 3))
    world.advance("2026-01-17")
    foreseen = preview(world, subscription, 6, proration_date=at(HALF))
    world.change(subscription, 6, proration_date=at(HALF))

    assert world.amounts(foreseen) == [-1500, 3000, 6000]
    pending = world.v1.invoice_items.list({"customer": world.customer, "pending": True}).data
    assert sorted(item.amount for item in pending) == [-1500, 3000]
    with pytest.raises(stripe.InvalidRequestError, match="proration_date"):
        world.change(subscription, 7, proration_date=at("2025-12-31"))


def test_a_downgrade_leaves_credit_for_later_invoices(world: World) -> None:
    subscription = world.subscribe((world.price(1000), 8))
    world.advance(HALF)
    world.change(subscription, 1, proration_behavior="always_invoice")

    # -4000 + 500: kept as the customer's credit, used up in February (1000), March (1000), ...
    assert world.totals() == [("paid", 8000), ("paid", -3500)]
    assert world.v1.customers.retrieve(world.customer).balance == -3500
    world.advance("2026-02-01T02:00:00")
    invoice = world.invoices()[-1]
    assert (invoice.total, invoice.amount_due, invoice.starting_balance, invoice.ending_balance) == (
        1000,
        0,
        -3500,
        -2500,
    )


def test_a_failed_payment_with_error_leaves_it_as_it_was(world: World) -> None:
    subscription = world.subscribe((world.price(1000), 3))
    world.use_card("pm_card_chargeCustomerFail")
    world.advance(HALF)
    events = len(world.events("customer.subscription"))

    with pytest.raises(stripe.CardError) as caught:
        world.change(
            subscription, 8, proration_behavior="always_invoice", payment_behavior="error_if_incomplete"
        )

    assert (caught.value.http_status, caught.value.code) == (402, "card_declined")
    now = world.subscription(subscription)
    assert (now.status, now["items"].data[0].quantity) == ("active", 3)
    assert world.totals() == [("paid", 3000)]
    assert world.v1.invoice_items.list({"customer": world.customer, "pending": True}).data == []
    assert len(world.events("customer.subscription")) == events


def test_a_failed_payment_that_may_be_incomplete_is_past_due(world: World) -> None:
    subscription = world.subscribe((world.price(1000), 3))
    world.use_card("pm_card_chargeCustomerFail")
    world.advance(HALF)
    changed = world.change(subscription, 8, proration_behavior="always_invoice")

    assert (changed.status, changed["items"].data[0].quantity) == ("past_due", 8)
    assert world.totals() == [("paid", 3000), ("open", 2500)]


def test_a_pending_update_is_applied_when_it_is_paid(world: World) -> None:
    subscription = world.subscribe((world.price(1000), 3))
    world.use_card("pm_card_chargeCustomerFail")
    world.advance(HALF)
    waiting = world.change(
        subscription, 8, proration_behavior="always_invoice", payment_behavior="pending_if_incomplete"
    )
    assert (waiting.status, waiting["items"].data[0].quantity) == ("active", 3)
    assert waiting.pending_update.subscription_items[0].quantity == 8

    world.v1.invoices.pay(waiting.latest_invoice, {"payment_method": world.use_card("pm_card_visa")})

    now = world.subscription(subscription)
    assert (now["items"].data[0].quantity, now.pending_update) == (8, None)
    assert "customer.subscription.pending_update_applied" in world.told("customer.subscription")


def test_an_unpaid_pending_update_expires_after_23_hours(world: World) -> None:
    subscription = world.subscribe((world.price(1000), 3))
    world.use_card("pm_card_chargeCustomerFail")
    world.advance(HALF)
    world.change(
        subscription, 8, proration_behavior="always_invoice", payment_behavior="pending_if_incomplete"
    )
    world.advance("2026-01-17T11:00:00")

    now = world.subscription(subscription)
    assert (now.status, now["items"].data[0].quantity, now.pending_update) == ("active", 3, None)
    assert world.totals() == [("paid", 3000), ("void", 2500)]
    assert "customer.subscription.pending_update_expired" in world.told("customer.subscription")


def test_another_interval_begins_a_new_cycle_at_once(world: World) -> None:
    subscription = world.subscribe((world.price(1000), 1))
    yearly = world.price(10000, "year")
    world.advance(HALF)
    changed = world.change(subscription, 1, yearly)

    assert world.totals() == [("paid", 1000), ("paid", 9500)]
    assert world.amounts(world.invoices()[-1]) == [-500, 10000]
    assert changed.billing_cycle_anchor == at(HALF)
    assert changed["items"].data[0].current_period_end == at("2027-01-16T12:00:00")


def test_the_anchor_can_be_moved_to_now(world: World) -> None:
    subscription = world.subscribe((world.price(1000), 2))
    world.advance(HALF)
    world.v1.subscriptions.update(subscription.id, {"billing_cycle_anchor": "now"})

    assert world.amounts(world.invoices()[-1]) == [-1000, 2000]
    assert world.subscription(subscription)["items"].data[0].current_period_end == at("2026-02-16T12:00:00")


def test_a_new_price_begins_with_one_unless_told(world: World) -> None:
    subscription = world.subscribe((world.price(1000), 3))
    item = subscription["items"].data[0].id
    changed = world.v1.subscription_items.update(item, {"price": world.price(2000)})

    assert changed.quantity == 1


def test_an_item_can_be_added_and_the_bill_follows(world: World) -> None:
    subscription = world.subscribe((world.price(1000), 1))
    world.advance(HALF)
    world.v1.subscription_items.create(
        {"subscription": subscription.id, "price": world.price(400), "quantity": 2}
    )

    upcoming = world.v1.invoices.create_preview({"subscription": subscription.id})
    assert world.amounts(upcoming) == [400, 1000, 800]
    assert len(world.v1.subscription_items.list({"subscription": subscription.id}).data) == 2


def test_mixed_intervals_and_repeated_prices_are_rejected(world: World) -> None:
    price = world.price(1000)
    with pytest.raises(stripe.InvalidRequestError, match="interval"):
        world.subscribe((price, 1), (world.price(1000, "year"), 1))
    with pytest.raises(stripe.InvalidRequestError, match="multiple"):
        world.subscribe((price, 1), (price, 2))


def test_nothing_is_upcoming_once_it_is_to_end(world: World) -> None:
    subscription = world.subscribe((world.price(1000), 1))
    world.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})

    with pytest.raises(stripe.InvalidRequestError) as caught:
        world.v1.invoices.create_preview({"subscription": subscription.id})

    assert caught.value.code == "invoice_upcoming_none"


def test_a_preview_leaves_no_trace(world: World) -> None:
    subscription = world.subscribe((world.price(1000), 1))
    before = len(world.events())
    found = preview(world, subscription, 5)

    assert found.id.startswith("upcoming_in_")
    assert len(world.events()) == before
    assert world.subscription(subscription)["items"].data[0].quantity == 1
    assert len(world.invoices()) == 1


def test_a_new_subscription_can_be_previewed(world: World) -> None:
    price = world.tiered("graduated", *TIERS)
    found = world.v1.invoices.create_preview(
        {"customer": world.customer, "subscription_details": {"items": [{"price": price, "quantity": 8}]}}
    )

    assert (found.total, world.amounts(found)) == (7400, [5000, 2400])


def test_cancelling_within_the_period_credits_the_rest(world: World) -> None:
    subscription = world.subscribe((world.price(1000), 2))
    world.v1.subscriptions.update(subscription.id, {"cancel_at": at(HALF)})
    world.advance(HALF)

    assert world.subscription(subscription).status == "canceled"
    assert world.totals() == [("paid", 2000), ("paid", -1000)]


HOURS_OF_JANUARY = st.integers(1, 31 * 24 - 1)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.integers(0, 12),
    after=st.integers(0, 12),
    hour=HOURS_OF_JANUARY,
    mode=st.sampled_from(["volume", "graduated"]),
    behavior=st.sampled_from(["always_invoice", "create_prorations", "none"]),
)
def test_whatever_is_previewed_is_invoiced(
    served: StandIn, before: int, after: int, hour: int, mode: str, behavior: str
) -> None:
    world = World(served)
    subscription = world.subscribe((world.tiered(mode, *TIERS), before))
    world.advance(f"2026-01-{1 + hour // 24:02}T{hour % 24:02}:00:00")
    foreseen = preview(world, subscription, after, proration_behavior=behavior)
    world.change(subscription, after, proration_behavior=behavior)
    if behavior != "always_invoice" or len(world.invoices()) == 1:
        world.advance("2026-02-01T02:00:00")

    assert shown(foreseen) == shown(world.invoices()[-1])
    assert foreseen.total == world.invoices()[-1].total
