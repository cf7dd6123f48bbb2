"""Charts: well-formed SVG with a label, whatever the figures, and the pace at which units last."""

from dataclasses import replace
from datetime import date, timedelta
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.pages.charts import HEIGHT, WIDTH, Bar, forecast, sparkline, stacked_bars
from services.gateway.pages.usage_history import UsageHistory, lasts_until

TODAY = date(2026, 12, 1)
amounts = st.integers(0, 10**9)


def amount(value: float) -> str:
    return f"{value:.0f} <€>"


def test_a_line_of_fewer_than_two_values_is_none() -> None:
    assert sparkline([], "MRR") == sparkline([5], "MRR") == ""


@given(st.lists(st.floats(0, 1e9), min_size=2, max_size=60))
def test_a_line_stays_in_its_box(values: list[float]) -> None:
    drawn = ElementTree.fromstring(sparkline(values, 'MRR <"€">'))
    assert drawn.get("aria-label") == 'MRR <"€">'
    points = [tuple(map(float, point.split(","))) for point in (drawn[0].get("points") or "").split()]
    assert len(points) == len(values)
    assert all(0 <= x <= 120 and 0 <= y <= 32 for x, y in points)


@given(st.lists(st.tuples(amounts, amounts, amounts), max_size=40))
def test_columns_stay_in_their_box_and_are_labelled(found: list[tuple[int, int, int]]) -> None:
    bars = [Bar(f"M{n}", {"new": a, "expansion": b}, {"churn": c}) for n, (a, b, c) in enumerate(found)]
    drawn = ElementTree.fromstring(stacked_bars(bars, "Movements", amount))
    assert (drawn.get("role"), drawn.get("aria-label")) == ("img", "Movements")
    rectangles = [part for part in drawn if part.tag == "rect"]
    assert len(rectangles) == sum(bool(value) for values in found for value in values)
    for part in rectangles:
        x, y, width, height = (float(part.get(name) or 0) for name in ("x", "y", "width", "height"))
        assert 0 <= x <= x + width <= WIDTH
        assert -0.5 <= y <= y + height <= HEIGHT


@given(st.lists(st.tuples(st.integers(0, 400), amounts), min_size=1, max_size=60), st.none() | amounts)
def test_a_forecast_stays_in_its_box(found: list[tuple[int, int]], limit: int | None) -> None:
    points = sorted((float(day), float(value)) for day, value in found)
    trend = (points[-1], (points[-1][0] + 30, points[-1][1] * 2))
    drawn = ElementTree.fromstring(forecast(points, trend, limit, "hours", amount, ("a", "b")))
    assert {"line", "trend"} <= {part.get("class") for part in drawn}
    for part in drawn:
        for point in (part.get("points") or "").split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= WIDTH
            assert -0.5 <= y <= HEIGHT


def test_a_phone_can_leave_out_every_other_label() -> None:
    drawn = ElementTree.fromstring(
        stacked_bars([Bar(f"M{n}", {"new": 1}, {}) for n in range(24)], "M", amount)
    )
    labels = [(part.text, part.get("class")) for part in drawn if (part.text or "").startswith("M")]
    assert labels[:4] == [("M0", "day"), ("M2", "day other"), ("M4", "day"), ("M6", "day other")]


def history(used: list[int], remaining: int | None) -> UsageHistory:
    days = [
        (TODAY - timedelta(days=len(used) - 1 - number), quantity) for number, quantity in enumerate(used)
    ]
    return UsageHistory("hours", days, remaining)


def test_at_this_pace_until_19_december() -> None:
    assert lasts_until(history([2] * 30, 36), TODAY) == date(2026, 12, 19)
    # Who began ten days ago is not slower for it.
    assert lasts_until(history([0] * 20 + [2] * 10, 36), TODAY) == date(2026, 12, 19)
    assert lasts_until(history([2] * 30, 0), TODAY) == TODAY


def test_no_pace_beyond_the_day_on_which_the_units_expire() -> None:
    expiring = history([2] * 30, 36)
    assert lasts_until(replace(expiring, ends=date(2026, 12, 20)), TODAY) == date(2026, 12, 19)
    assert lasts_until(replace(expiring, ends=date(2026, 12, 19)), TODAY) is None


def test_no_pace_without_use_without_a_limit_or_for_years() -> None:
    assert lasts_until(history([0] * 30, 36), TODAY) is None
    assert lasts_until(history([2] * 30, None), TODAY) is None
    assert lasts_until(history([1] + [0] * 29, 1000), TODAY) is None
