"""Rounding: exact until shown, half up, once."""

import math
from fractions import Fraction


def round_half_up(value: Fraction | int) -> int:
    """Return the nearest whole number; of two as near, the higher one."""
    return math.floor(Fraction(value) + Fraction(1, 2))


def round_to(value: Fraction, digits: int) -> float:
    """Return a fraction with so many decimal digits, half up."""
    scale: int = 10**digits
    return round_half_up(value * scale) / scale


def percent(part: Fraction | int, whole: Fraction | int, digits: int = 2) -> float | None:
    """Return a share in percent; None of nothing."""
    return round_to(Fraction(part) * 100 / Fraction(whole), digits) if whole else None
