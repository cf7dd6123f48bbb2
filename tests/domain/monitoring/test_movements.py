"""Movements of revenue: each thing that happens to a customer, with figures written by hand."""

from fractions import Fraction

from tests.support.revenue_values import Life, told


def test_a_subscription_that_begins_and_ends() -> None:
    life = Life().becomes(0, "incomplete", "solo").becomes(1, "active").becomes(40, "canceled")
    assert told(life) == [("new", 1, 4900), ("churn", 40, 4900)]


def test_a_plan_changed_mid_month_expands_by_the_difference() -> None:
    life = Life().becomes(0, "active", "solo").becomes(14, "active", "pro").becomes(20, "active", "seats", 3)
    assert told(life) == [("new", 0, 4900), ("expansion", 14, 5000), ("contraction", 20, 6900)]


def test_a_quantity_that_grows_and_shrinks() -> None:
    life = (
        Life()
        .becomes(0, "active", "seats", 5)
        .becomes(3, "active", "seats", 8)
        .becomes(9, "active", "seats", 2)
    )
    assert told(life) == [("new", 0, 5000), ("expansion", 3, 3000), ("contraction", 9, 6000)]


def test_cancel_at_period_end_churns_at_the_end_and_not_before() -> None:
    # `cancelScheduled` is a version that changes nothing that counts.
    life = Life().becomes(0, "active", "solo").becomes(10, "active").becomes(31, "canceled")
    assert told(life) == [("new", 0, 4900), ("churn", 31, 4900)]


def test_pause_contracts_and_resume_reactivates() -> None:
    life = Life().becomes(0, "active", "solo").becomes(5, "paused").becomes(20, "active")
    assert told(life) == [("new", 0, 4900), ("contraction", 5, 4900), ("reactivation", 20, 4900)]


def test_past_due_counts_until_it_is_restricted() -> None:
    life = Life().becomes(0, "active", "solo").becomes(31, "past_due").becomes(33, "active")
    assert told(life) == [("new", 0, 4900)], "recovered within the grace period"
    life = Life().becomes(0, "active", "solo").becomes(31, "past_due")
    life = life.becomes(38, "past_due", restricted=True).becomes(45, "active")
    assert told(life) == [("new", 0, 4900), ("contraction", 38, 4900), ("reactivation", 45, 4900)]


def test_a_trial_that_converts_and_one_that_does_not() -> None:
    converts = Life().becomes(0, "trialing", "solo").becomes(14, "active")
    assert told(converts) == [
        ("new", 14, 4900),
        ("trials_started", 0, 1),
        ("trials_converted", 14, 1),
    ]
    expires = Life().becomes(0, "trialing", "solo").becomes(14, "expired")
    assert told(expires) == [("trials_started", 0, 1), ("trials_lost", 14, 1)]


def test_a_trial_whose_payment_fails_converts_once_it_is_paid() -> None:
    late = Life().becomes(0, "trialing", "solo").becomes(14, "past_due").becomes(16, "active")
    assert told(late) == [("new", 14, 4900), ("trials_started", 0, 1), ("trials_converted", 16, 1)]


def test_a_discount_for_three_months_ends_with_the_fourth_invoice() -> None:
    # The first invoice comes a moment after the subscription is active, and counts from its beginning.
    life = Life().becomes(0, "active", "solo").invoiced(0.1, Fraction(1, 2)).invoiced(90, Fraction(1))
    assert told(life) == [("new", 0, 2450), ("expansion", 90, 2450)]
    ended = Life().becomes(0, "active", "solo").invoiced(0.1, Fraction(1, 2)).becomes(60, "canceled")
    assert told(ended) == [("new", 0, 2450), ("churn", 60, 2450)]


def test_a_price_that_includes_tax_counts_without_it() -> None:
    life = Life().becomes(0, "active", "solo").invoiced(0, Fraction(100, 119)).becomes(9, "active", "pro")
    assert told(life) == [("new", 0, Fraction(490_000, 119)), ("expansion", 9, Fraction(500_000, 119))]


def test_a_second_subscription_expands_and_churn_is_that_none_is_left() -> None:
    plan = Life().becomes(0, "active", "solo").becomes(50, "canceled")
    add_on = Life().becomes(10, "active", "seats", 2).becomes(30, "canceled")
    assert told(plan, add_on) == [
        ("new", 0, 4900),
        ("expansion", 10, 2000),
        ("contraction", 30, 2000),
        ("churn", 50, 4900),
    ]


def test_what_ends_and_begins_at_the_same_moment_is_one_change() -> None:
    old = Life().becomes(0, "active", "solo").becomes(20, "canceled")
    new = Life().becomes(20, "active", "pro")
    assert told(old, new) == [("new", 0, 4900), ("expansion", 20, 5000)]


def test_who_comes_back_reactivates() -> None:
    old = Life().becomes(0, "active", "solo").becomes(20, "canceled")
    new = Life().becomes(60, "active", "pro")
    assert told(old, new) == [("new", 0, 4900), ("churn", 20, 4900), ("reactivation", 60, 9900)]


def test_a_change_to_the_free_plan_is_churn() -> None:
    life = Life().becomes(0, "active", "solo").becomes(31, "active", "free")
    assert told(life) == [("new", 0, 4900), ("churn", 31, 4900)]


def test_currencies_are_apart() -> None:
    euros = Life().becomes(0, "active", "solo").becomes(9, "canceled")
    dollars = Life().becomes(9, "active", "dollars")
    assert told(euros, dollars) == [("new", 0, 4900), ("churn", 9, 4900), ("new", 9, 5000)]


def test_a_version_is_not_before_an_earlier_one_where_clocks_differ() -> None:
    life = Life().becomes(5, "active", "solo").becomes(4, "active", "pro")
    assert told(life) == [("new", 5, 9900)]
