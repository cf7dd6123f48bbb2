"""Test clocks: trials, renewals, retries, schedules, pauses and metered usage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
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


@pytest.fixture
def failing(served: StandIn) -> Iterator[World]:
    """A world whose first payment works and whose later ones fail."""
    world = World(served)
    yield world
    httpx.post(f"{served.url}/_sandbox/billing_settings", data={"failed_payments": "cancel"})


def period(subscription: Any) -> tuple[int, int]:
    item = subscription["items"].data[0]
    return item.current_period_start, item.current_period_end


def test_a_renewal_is_a_draft_for_an_hour_then_paid(world: World) -> None:
    subscription = world.subscribe((world.price(1000), 1))
    world.advance("2026-02-01")
    assert world.totals() == [("paid", 1000), ("draft", 1000)]
    assert period(world.subscription(subscription)) == (at("2026-02-01"), at("2026-03-01"))
    draft = world.invoices()[-1]
    assert (draft.billing_reason, draft.automatically_finalizes_at) == (
        "subscription_cycle",
        at("2026-02-01T01:00:00"),
    )
    assert (draft.period_start, draft.period_end) == (at("2026-01-01"), at("2026-02-01"))

    world.advance("2026-02-01T01:00:00")

    paid = world.invoices()[-1]
    assert (paid.status, paid.status_transitions.paid_at) == ("paid", at("2026-02-01T01:00:00"))
    assert paid.number != world.invoices()[0].number


def test_an_anchor_on_the_31st_keeps_its_day(served: StandIn) -> None:
    world = World(served, start="2026-01-31")
    subscription = world.subscribe((world.price(1000), 1))
    ends = []
    for day in ("2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"):
        world.advance(day)
        ends.append(period(world.subscription(subscription))[0])

    assert ends == [at("2026-02-28"), at("2026-03-31"), at("2026-04-30"), at("2026-05-31")]
    assert len(world.invoices()) == 5


def test_everything_between_happens_in_order_in_two_advances(world: World) -> None:
    world.subscribe((world.price(1000), 1))
    world.advance("2026-02-28")
    world.advance("2026-03-05")

    assert world.totals() == [("paid", 1000)] * 3
    assert [invoice.created for invoice in world.invoices()] == [
        at("2026-01-01"),
        at("2026-02-01"),
        at("2026-03-01"),
    ]
    times = [event.created for event in world.events()]
    assert times == sorted(times)
    assert [event.created for event in world.events("invoice.upcoming")] == [
        at("2026-01-25"),
        at("2026-02-22"),
    ]


def test_the_day_and_the_week_are_intervals_too(world: World) -> None:
    world.subscribe((world.price(100, "day", 10), 1))
    world.advance("2026-01-20")
    world.advance("2026-01-21T02:00:00")
    assert world.totals() == [("paid", 100)] * 3


def test_a_trial_with_a_card_becomes_active_and_is_paid(world: World) -> None:
    subscription = world.subscribe((world.price(1000), 2), trial_period_days=14)
    assert (subscription.status, subscription.trial_end) == ("trialing", at("2026-01-15"))
    assert world.totals() == [("paid", 0)]
    assert world.invoices()[0].lines.data[0].description == "Trial period for 2 × Team"

    world.advance("2026-01-11T23:59:59")
    assert world.told("customer.subscription.trial") == []
    world.advance("2026-01-15T02:00:00")

    assert [event.created for event in world.events("customer.subscription.trial_will_end")] == [
        at("2026-01-12")
    ]
    assert world.subscription(subscription).status == "active"
    assert world.totals() == [("paid", 0), ("paid", 2000)]
    assert period(world.subscription(subscription)) == (at("2026-01-15"), at("2026-02-15"))


@pytest.mark.parametrize(
    ("behavior", "status"), [("cancel", "canceled"), ("pause", "paused"), ("create_invoice", "past_due")]
)
def test_a_trial_without_a_card_ends_as_its_settings_say(served: StandIn, behavior: str, status: str) -> None:
    world = World(served, card=None)
    subscription = world.subscribe(
        (world.price(1000), 1),
        trial_period_days=7,
        trial_settings={"end_behavior": {"missing_payment_method": behavior}},
    )
    world.advance("2026-01-08T02:00:00")

    assert world.subscription(subscription).status == status
    assert world.totals() == ([("paid", 0), ("open", 1000)] if status == "past_due" else [("paid", 0)])


def test_a_paused_trial_is_resumed_with_a_card(served: StandIn) -> None:
    world = World(served, card=None)
    subscription = world.subscribe(
        (world.price(1000), 1),
        trial_period_days=7,
        trial_settings={"end_behavior": {"missing_payment_method": "pause"}},
    )
    world.advance("2026-01-20")
    paused = world.subscription(subscription)
    assert paused.status_details.paused.subscription.type == "trial_end_without_payment_method"
    world.use_card("pm_card_visa")
    resumed = world.v1.subscriptions.resume(subscription.id)

    assert resumed.status == "active"
    assert period(resumed) == (at("2026-01-20"), at("2026-02-20"))
    assert world.totals() == [("paid", 0), ("paid", 1000)]
    assert "customer.subscription.resumed" in world.told("customer.subscription")


def test_a_trial_can_end_now_or_be_extended(world: World) -> None:
    subscription = world.subscribe((world.price(1000), 1), trial_period_days=14)
    world.v1.subscriptions.update(subscription.id, {"trial_end": at("2026-01-20")})
    world.advance("2026-01-16")
    assert world.subscription(subscription).status == "trialing"
    ended = world.v1.subscriptions.update(subscription.id, {"trial_end": "now"})

    assert (ended.status, period(ended)) == ("active", (at("2026-01-16"), at("2026-02-16")))
    assert world.totals() == [("paid", 0), ("paid", 1000)]


def test_a_failed_renewal_is_retried_three_times_then_canceled(failing: World) -> None:
    subscription = failing.subscribe((failing.price(1000), 1))
    failing.use_card("pm_card_chargeCustomerFail")
    failing.advance("2026-02-01T01:00:00")
    invoice = failing.invoices()[-1]
    assert (invoice.status, invoice.attempt_count) == ("open", 1)
    assert invoice.next_payment_attempt == at("2026-02-04T01:00:00")
    assert failing.subscription(subscription).status == "past_due"

    failing.advance("2026-02-16T00:59:59")
    assert failing.subscription(subscription).status == "past_due"
    failing.advance("2026-02-16T01:00:00")

    failed = failing.events("invoice.payment_failed")
    assert [event.data.object.attempt_count for event in failed] == [1, 2, 3, 4]
    assert [event.created for event in failed] == [
        at("2026-02-01T01:00:00"),
        at("2026-02-04T01:00:00"),
        at("2026-02-09T01:00:00"),
        at("2026-02-16T01:00:00"),
    ]
    ended = failing.subscription(subscription)
    assert (ended.status, ended.cancellation_details.reason) == ("canceled", "payment_failed")
    assert failing.invoices()[-1].next_payment_attempt is None


@pytest.mark.parametrize("state", ["unpaid", "past_due"])
def test_the_end_of_retries_is_a_setting(failing: World, state: str) -> None:
    httpx.post(f"{failing.url}/_sandbox/billing_settings", data={"failed_payments": state}).raise_for_status()
    subscription = failing.subscribe((failing.price(1000), 1))
    failing.use_card("pm_card_chargeCustomerFail")
    failing.advance("2026-02-16T01:00:00")
    assert failing.subscription(subscription).status == state

    failing.use_card("pm_card_visa")
    failing.v1.invoices.pay(failing.invoices()[-1].id)
    assert failing.subscription(subscription).status == "active"


def test_a_later_payment_ends_past_due(failing: World) -> None:
    subscription = failing.subscribe((failing.price(1000), 1))
    failing.use_card("pm_card_chargeCustomerFail")
    failing.advance("2026-02-02")
    invoice = failing.invoices()[-1].id
    with pytest.raises(stripe.CardError) as caught:
        failing.v1.invoices.pay(invoice)
    assert caught.value.http_status == 402
    assert failing.v1.invoices.retrieve(invoice).attempt_count == 1

    failing.use_card("pm_card_visa")
    failing.advance("2026-02-04T01:00:00")

    assert failing.totals()[-1] == ("paid", 1000)
    assert failing.invoices()[-1].attempt_count == 2
    assert failing.subscription(subscription).status == "active"


def test_a_renewal_needing_authentication_is_paid_later(failing: World) -> None:
    subscription = failing.subscribe((failing.price(1000), 1))
    failing.use_card("pm_card_authenticationRequired")
    failing.advance("2026-02-01T01:00:00")

    assert "invoice.payment_action_required" in failing.told("invoice")
    assert failing.subscription(subscription).status == "past_due"
    payments = failing.v1.invoice_payments.list({"invoice": failing.invoices()[-1].id}).data
    intent = failing.v1.payment_intents.retrieve(payments[0].payment.payment_intent)
    assert intent.status == "requires_action"
    method = failing.use_card("pm_card_visa")
    failing.v1.payment_intents.confirm(intent.id, {"payment_method": method})

    assert failing.subscription(subscription).status == "active"
    assert failing.totals()[-1] == ("paid", 1000)


def test_a_schedule_switches_at_the_boundary_by_itself(world: World) -> None:
    price = world.price(1000)
    subscription = world.subscribe((price, 3))
    schedule = world.v1.subscription_schedules.create({"from_subscription": subscription.id})
    phase = schedule.phases[0]
    world.v1.subscription_schedules.update(
        schedule.id,
        {
            "end_behavior": "release",
            "phases": [
                {
                    "items": [{"price": price, "quantity": 3}],
                    "start_date": phase.start_date,
                    "end_date": phase.end_date,
                },
                {"items": [{"price": price, "quantity": 1}], "iterations": 1},
            ],
        },
    )
    upcoming = world.v1.invoices.create_preview({"subscription": subscription.id})
    assert upcoming.total == 1000
    world.advance("2026-01-31")
    assert world.subscription(subscription)["items"].data[0].quantity == 3
    world.advance("2026-02-01T02:00:00")

    now = world.subscription(subscription)
    assert (now["items"].data[0].quantity, now.schedule) == (1, schedule.id)
    assert world.totals() == [("paid", 3000), ("paid", 1000)]
    assert now["items"].data[0].id == subscription["items"].data[0].id
    world.advance("2026-03-01T02:00:00")
    assert world.subscription(subscription).schedule is None
    assert world.v1.subscription_schedules.retrieve(schedule.id).status == "released"


def test_a_schedule_can_change_the_price_and_interval(world: World) -> None:
    monthly, yearly = world.price(1000), world.price(10000, "year")
    subscription = world.subscribe((monthly, 1))
    schedule = world.v1.subscription_schedules.create({"from_subscription": subscription.id})
    start, end = schedule.phases[0].start_date, schedule.phases[0].end_date
    world.v1.subscription_schedules.update(
        schedule.id,
        {
            "phases": [
                {"items": [{"price": monthly}], "start_date": start, "end_date": end},
                {"items": [{"price": yearly}], "duration": {"interval": "year", "interval_count": 1}},
            ]
        },
    )
    world.advance("2026-02-01T02:00:00")

    assert world.totals() == [("paid", 1000), ("paid", 10000)]
    assert period(world.subscription(subscription)) == (at("2026-02-01"), at("2027-02-01"))


def test_a_schedule_keeps_a_trial_as_long_as_its_phase_says_so(world: World) -> None:
    # Three seats in a trial until 15 January, five afterwards: nothing is due before, 5 x 10.00 then.
    price = world.price(1000)
    trial_end = at("2026-01-15")
    subscription = world.subscribe((price, 3), trial_end=trial_end)
    schedule = world.v1.subscription_schedules.create({"from_subscription": subscription.id})
    phase = schedule.phases[0]
    assert (phase.trial_end, phase.end_date) == (trial_end, trial_end)
    running = {"items": [{"price": price, "quantity": 3}], "start_date": phase.start_date}
    running |= {"end_date": phase.end_date, "trial_end": trial_end}
    following = {"items": [{"price": price, "quantity": 5}], "iterations": 1}
    world.v1.subscription_schedules.update(schedule.id, {"phases": [running, following]})
    assert world.subscription(subscription).status == "trialing"
    world.advance("2026-01-15T02:00:00")
    assert world.subscription(subscription).status == "active"
    assert world.totals() == [("paid", 0), ("paid", 5000)]


def test_a_schedule_that_forgets_the_trial_ends_it(world: World) -> None:
    price = world.price(1000)
    subscription = world.subscribe((price, 3), trial_end=at("2026-01-15"))
    schedule = world.v1.subscription_schedules.create({"from_subscription": subscription.id})
    running = {"items": [{"price": price, "quantity": 3}], "start_date": schedule.phases[0].start_date}
    world.v1.subscription_schedules.update(
        schedule.id, {"phases": [running | {"end_date": schedule.phases[0].end_date}]}
    )
    assert world.subscription(subscription).status == "active"
    assert world.totals() == [("paid", 0), ("paid", 3000)]


def test_a_released_schedule_changes_nothing_any_more(world: World) -> None:
    price = world.price(1000)
    subscription = world.subscribe((price, 3))
    schedule = world.v1.subscription_schedules.create({"from_subscription": subscription.id})
    with pytest.raises(stripe.InvalidRequestError, match="already attached"):
        world.v1.subscription_schedules.create({"from_subscription": subscription.id})
    released = world.v1.subscription_schedules.release(schedule.id)

    assert (released.status, released.released_subscription) == ("released", subscription.id)
    assert world.subscription(subscription).schedule is None


def test_paused_collection_makes_invoices_that_nobody_pays(world: World) -> None:
    subscription = world.subscribe((world.price(1000), 1))
    world.v1.subscriptions.update(
        subscription.id, {"pause_collection": {"behavior": "void", "resumes_at": at("2026-02-15")}}
    )
    world.advance("2026-02-01T02:00:00")
    assert world.totals() == [("paid", 1000), ("void", 1000)]
    assert world.subscription(subscription).status == "active"
    world.advance("2026-03-01T02:00:00")
    assert world.subscription(subscription).pause_collection is None
    assert world.totals()[-1] == ("paid", 1000)


def test_metered_use_is_billed_after_the_period_and_counted_once(world: World) -> None:
    name = f"calls_{world.customer}"
    meter = world.v1.billing.meters.create(
        {"display_name": "Calls", "event_name": name, "default_aggregation": {"formula": "sum"}}
    )
    price = world.price(
        None, unit_amount_decimal="0.5", recurring={"usage_type": "metered", "meter": meter.id}
    )
    world.v1.subscriptions.create({"customer": world.customer, "items": [{"price": price}]})

    def record(value: str, identifier: str) -> None:
        world.v1.billing.meter_events.create(
            {
                "event_name": name,
                "identifier": identifier,
                "payload": {"stripe_customer_id": world.customer, "value": value},
            }
        )

    record("100", f"{name}_1")
    world.advance("2026-01-20")
    record("25", f"{name}_2")
    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        record("25", f"{name}_2")
    summary = world.v1.billing.meters.event_summaries.list(
        meter.id, {"customer": world.customer, "start_time": at("2026-01-01"), "end_time": at("2026-02-01")}
    )
    assert summary.data[0].aggregated_value == 125
    world.advance("2026-02-01T02:00:00")

    # 125 * 0.5 = 62.5, rounded up
    assert world.totals() == [("paid", 0), ("paid", 63)]
    world.advance("2026-03-01T02:00:00")
    assert world.totals()[-1] == ("paid", 0)


def test_fourteen_months_of_a_yearly_plan(world: World) -> None:
    world.subscribe((world.price(12000, "year"), 1))
    world.advance("2027-03-01")

    assert world.totals() == [("paid", 12000)] * 2


def test_a_clock_moves_forward_only_and_not_too_far(world: World) -> None:
    world.subscribe((world.price(1000), 1))
    with pytest.raises(stripe.InvalidRequestError, match="after"):
        world.advance("2026-01-01")
    with pytest.raises(stripe.InvalidRequestError, match="two intervals"):
        world.advance("2026-03-02")


def test_deleting_a_clock_takes_its_customers_along(world: World) -> None:
    subscription = world.subscribe((world.price(1000), 1))
    world.v1.test_helpers.test_clocks.delete(world.clock)

    assert world.v1.customers.retrieve(world.customer).deleted is True
    assert world.subscription(subscription).status == "canceled"
