"""The revenue report: its figures by hand, and its identity for any lives of subscriptions."""

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.monitoring.domain.history import Run, add_versions
from services.monitoring.domain.invoice_history import InvoiceContent, invoice_entries
from services.monitoring.domain.movements import SIGNS, Entry
from services.monitoring.domain.periods import By, Period, days_of, periods
from services.monitoring.domain.prices import monthly_price
from services.monitoring.domain.revenue_report import Standing, Sums, report
from services.monitoring.domain.rounding import round_half_up
from services.monitoring.domain.subscription_history import phase_of, timeline
from tallystick.messages.subscriptions import Status
from tests.support.revenue_values import BEGIN, PRICES, Life, entries_of, on, reported

JANUARY, FEBRUARY = Period(date(2026, 1, 1), date(2026, 2, 1)), Period(date(2026, 2, 1), date(2026, 3, 1))


def test_nothing_is_null_and_not_zero_percent() -> None:
    figures = report(Standing(), Sums())
    assert figures["mrr"] == figures["new"] == figures["active"] == 0
    for name in (
        "arpu",
        "trial_conversion_percent",
        "customer_churn_percent",
        "net_revenue_retention_percent",
    ):
        assert figures[name] is None, name


def test_two_months_of_three_customers() -> None:
    entries = [
        *entries_of(Life().becomes(0, "active", "solo").becomes(40, "active", "pro")),
        *entries_of(Life().becomes(3, "active", "seats", 5).becomes(45, "canceled")),
        *entries_of(Life().becomes(20, "trialing", "yearly").becomes(34, "active")),
    ]
    january, february = reported(entries, [JANUARY, FEBRUARY])
    assert (january["mrr"], january["new"], january["active"], january["arpu"]) == (9900, 9900, 2, 4950)
    assert (january["trials_started"], january["trial_conversion_percent"]) == (1, None)
    # 9,900 for the changed plan, and a twelfth of 10,000.
    assert february["mrr"] == 10733
    assert february["arr"] == 128_800
    assert (february["new"], february["expansion"], february["churn"]) == (833, 5000, 5000)
    assert (february["net_new_mrr"], february["active"]) == (833, 2)
    assert (february["trials_converted"], february["trial_conversion_percent"]) == (1, 100.0)
    assert february["customer_churn_percent"] == 50.0
    assert february["net_revenue_retention_percent"] == 100.0


def test_fractions_are_rounded_once_in_the_sum() -> None:
    entries = [entry for _ in range(3) for entry in entries_of(Life().becomes(1, "active", "yearly"))]
    (january,) = reported(entries, [JANUARY])
    # Three times 833⅓, and not three times 833.
    assert (january["mrr"], january["new"]) == (2500, 2500)


@pytest.mark.parametrize(("currency", "price", "mrr"), [("jpy", "yen", 980), ("kwd", "dinar", 1029)])
def test_currencies_without_and_with_three_decimals(currency: str, price: str, mrr: int) -> None:
    (january,) = reported(entries_of(Life().becomes(1, "active", price)), [JANUARY], currency)
    assert january["mrr"] == mrr  # 12,345 ÷ 12 = 1,028.75


def test_collected_refunded_past_due_and_recovered() -> None:
    def version(
        number: int, day: int, status: str, paid: int, refunded: int, attempts: int
    ) -> Run[InvoiceContent]:
        content = InvoiceContent(status, "eur", 4900, paid, refunded, attempts)  # type: ignore[arg-type]
        return Run(number, number, on(day), content)

    entries = invoice_entries(
        [
            version(1, 30, "draft", 0, 0, 0),
            version(2, 30, "open", 0, 0, 1),
            version(3, 33, "paid", 4900, 0, 2),
            version(4, 40, "paid", 4900, 1000, 2),
        ]
    )
    january, february = reported(entries, [JANUARY, FEBRUARY])
    assert (january["collected"], january["past_due"]) == (0, 4900)
    assert (february["collected"], february["recovered"]) == (4900, 4900)
    assert (february["refunded"], february["past_due"]) == (1000, 0)
    assert invoice_entries([version(1, 1, "paid", 4900, 0, 1)])[0].kind == "collected"
    assert len(invoice_entries([version(1, 1, "paid", 4900, 0, 1)])) == 1


def test_periods_are_cut_at_both_ends() -> None:
    first, end = days_of(on(13.5), on(62))
    assert (first, end) == (date(2026, 1, 14), date(2026, 3, 4))
    assert [period.start for period in periods(first, end, "month")] == [
        date(2026, 1, 14),
        date(2026, 2, 1),
        date(2026, 3, 1),
    ]
    weeks = list(periods(first, date(2026, 1, 27), "week"))
    assert [week.start for week in weeks] == [date(2026, 1, 14), date(2026, 1, 19), date(2026, 1, 26)]
    assert weeks[-1].end == date(2026, 1, 27)


STATUSES: list[Status] = ["incomplete", "trialing", "active", "past_due", "unpaid", "paused"]
steps = st.tuples(
    st.integers(0, 40),
    st.sampled_from(STATUSES),
    st.sampled_from(["", *PRICES]),
    st.integers(1, 12),
    st.booleans(),
)


@st.composite
def lives(draw: st.DrawFn) -> Life:
    """Any life of a subscription, which may end."""
    life, day = Life(), draw(st.integers(0, 60))
    life.becomes(
        day,
        draw(st.sampled_from(["incomplete", "trialing", "active"])),
        draw(st.sampled_from(sorted(PRICES))),
    )
    for days, status, price, quantity, restricted in draw(st.lists(steps, max_size=8)):
        day += days
        life.becomes(day, status, price, quantity, restricted=restricted)
    if draw(st.booleans()):
        life.becomes(day + draw(st.integers(0, 40)), draw(st.sampled_from(["canceled", "expired"])))
    return life


customers = st.lists(st.lists(lives(), min_size=1, max_size=3), min_size=1, max_size=4)


@settings(deadline=None, max_examples=40)
@given(customers, st.sampled_from(["day", "week", "month"]))
def test_the_identity_holds_for_any_lives(found: list[list[Life]], by: By) -> None:
    entries = [entry for life in found for entry in entries_of(*life)]
    cut = list(periods(date(2026, 1, 1), date(2027, 4, 1), by))
    for currency in {entry.currency for entry in entries}:
        before = 0
        for figures in reported(entries, cut, currency):
            moved = sum(sign * int(figures[kind] or 0) for kind, sign in SIGNS.items())
            assert figures["mrr"] == before + moved
            assert figures["net_new_mrr"] == moved
            assert all(int(figures[kind] or 0) >= 0 for kind in SIGNS)
            before = int(figures["mrr"] or 0)


@settings(deadline=None)
@given(customers)
def test_mrr_is_what_the_subscriptions_themselves_say(found: list[list[Life]]) -> None:
    entries = [entry for life in found for entry in entries_of(*life)]
    end = on(700)
    for currency in ("eur", "usd", "jpy", "kwd"):
        said = sum((_worth(life, currency) for each in found for life in each), Fraction(0))
        (figures,) = reported(entries, [Period(BEGIN.date(), end.date())], currency)
        assert figures["mrr"] == round_half_up(said)
        paying = sum(any(_worth(life, currency) for life in each) for each in found)
        assert figures["active"] == paying


@settings(deadline=None)
@given(lives(), st.randoms())
def test_the_order_and_repetition_of_events_make_no_difference(life: Life, random: object) -> None:
    expected = add_versions([], life.runs)
    shuffled = [*life.runs, *life.runs]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert add_versions([], shuffled) == expected
    assert timeline(expected, PRICES) == timeline(add_versions(expected, shuffled), PRICES)
    assert len(expected) <= len(life.runs)


def _worth(life: Life, currency: str) -> Fraction:
    content = life.runs[-1].content
    price = monthly_price(content.items, PRICES)
    is_paying = phase_of(content.status, restricted=content.restricted) == "paying"
    return price.amount if is_paying and price.currency == currency else Fraction(0)


def test_a_day_of_movements_that_cancel_out_is_told_as_both() -> None:
    entries: list[Entry] = entries_of(Life().becomes(1, "active", "solo").becomes(1.5, "canceled"))
    (january,) = reported(entries, [JANUARY])
    assert (january["new"], january["churn"], january["mrr"]) == (4900, 4900, 0)
