"""Charts as inline SVG, made on the server: no script, colours from the style sheet, labelled.

Every chart stands beside a table, or a text, with the same figures. Coordinates are whole numbers of a fixed
box that the style sheet scales.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT = 720, 240
LEFT, RIGHT, TOP, BOTTOM = 74, 12, 12, 28
"""The margins of the plot: amounts on the left, days below."""
SPARK_WIDTH, SPARK_HEIGHT = 120, 32
TICKS = 6
LABELS_MAX = 12


Format = Callable[[float], str]
"""Turns an amount of an axis into text."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A column of stacked parts: what adds above the line, what takes away below it."""

    label: str
    above: Mapping[str, int]
    below: Mapping[str, int]


def sparkline(values: Sequence[float], label: str) -> Markup:
    """Draw a small line; fewer than two values draw nothing."""
    if len(values) < 2:
        return Markup("")
    low, high = min(values), max(values)
    span = (high - low) or 1
    step = (SPARK_WIDTH - 4) / (len(values) - 1)
    points = " ".join(
        f"{2 + step * number:.1f},{SPARK_HEIGHT - 3 - (value - low) / span * (SPARK_HEIGHT - 6):.1f}"
        for number, value in enumerate(values)
    )
    return Markup(
        '<svg class="spark" viewBox="0 0 {w} {h}" role="img" aria-label="{label}">'
        '<polyline points="{points}"/></svg>'
    ).format(w=SPARK_WIDTH, h=SPARK_HEIGHT, label=label, points=points)


def stacked_bars(bars: Sequence[Bar], label: str, amount: Format) -> Markup:
    """Draw stacked columns around a line of zero."""
    top = max((sum(bar.above.values()) for bar in bars), default=0)
    bottom = max((sum(bar.below.values()) for bar in bars), default=0)
    scale = _Scale(-bottom, top)
    slot = (WIDTH - LEFT - RIGHT) / max(len(bars), 1)
    width = min(slot * 0.7, 46)
    parts = [*_axis(scale, amount)]
    every = -(-len(bars) // LABELS_MAX)
    for number, bar in enumerate(bars):
        x = LEFT + slot * number + (slot - width) / 2
        parts += _stack(bar.above, x, width, scale, 1) + _stack(bar.below, x, width, scale, -1)
        if number % every == 0:
            name = "day" if number // every % 2 == 0 else "day other"
            parts.append(_text(x + width / 2, HEIGHT - 8, bar.label, "middle", name))
    return _svg(parts, label)


def forecast(
    points: Sequence[tuple[float, float]],
    trend: tuple[tuple[float, float], tuple[float, float]] | None,
    limit: float | None,
    label: str,
    amount: Format,
    ends: tuple[str, str],
) -> Markup:
    """Draw values over days, their trend continued to the right as a dashed line, and a limit.

    `points` and `trend` are (day, value); `ends` name the first and the last day.
    """
    everything = [*points, *(trend or ())]
    days = [day for day, _ in everything]
    values = [value for _, value in everything] + ([limit] if limit is not None else [])
    scale = _Scale(0, max(values, default=0))
    first, last = min(days, default=0), max(days, default=1)

    def x(day: float) -> float:
        return LEFT + (day - first) / ((last - first) or 1) * (WIDTH - LEFT - RIGHT)

    def line(found: Sequence[tuple[float, float]], name: str) -> Markup:
        path = " ".join(f"{x(day):.1f},{scale.y(value):.1f}" for day, value in found)
        return Markup('<polyline class="{}" points="{}"/>').format(name, path)

    parts = [*_axis(scale, amount)]
    if limit is not None:
        parts.append(line([(first, limit), (last, limit)], "limit"))
    if trend is not None:
        parts.append(line(trend, "trend"))
    parts.append(line(points, "line"))
    parts += [
        _text(LEFT, HEIGHT - 8, ends[0], "start", "day"),
        _text(WIDTH - RIGHT, HEIGHT - 8, ends[1], "end", "day"),
    ]
    return _svg(parts, label)


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float

    @property
    def span(self) -> float:
        return (self.high - self.low) or 1

    def y(self, value: float) -> float:
        return TOP + (self.high - value) / self.span * (HEIGHT - TOP - BOTTOM)


def _axis(scale: _Scale, amount: Format) -> list[Markup]:
    step = _round_step(scale.span / TICKS)
    parts = []
    for number in range(math.ceil(scale.low / step), math.floor(scale.high / step) + 1):
        value = number * step
        y = scale.y(value)
        name = "zero" if value == 0 else "grid"
        parts.append(
            Markup('<line class="{}" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(
                name, LEFT, WIDTH - RIGHT, y, y
            )
        )
        parts.append(_text(LEFT - 8, y + 4, amount(value), "end"))
    return parts


def _round_step(rough: float) -> float:
    """Return the next 1, 2 or 5 times a power of ten, at least 1: amounts are whole."""
    power: float = 10.0 ** math.floor(math.log10(rough))
    return max(1.0, next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999))


def _stack(parts: Mapping[str, int], x: float, width: float, scale: _Scale, sign: int) -> list[Markup]:
    drawn, reached = [], 0.0
    for name, value in parts.items():
        if value:
            edges = sorted((scale.y(sign * reached), scale.y(sign * (reached + value))))
            drawn.append(
                Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
                    name, x, edges[0], width, max(edges[1] - edges[0], 0.5)
                )
            )
            reached += value
    return drawn


def _text(x: float, y: float, text: str, anchor: str, name: str = "amount") -> Markup:
    """Draw a label; a small screen leaves the `other` ones out."""
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
        name, x, y, anchor, text
    )


def _svg(parts: Sequence[Markup], label: str) -> Markup:
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, label, Markup("").join(parts)
    )
