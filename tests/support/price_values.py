"""Prices of every model for tests of amounts, one by one and as a Hypothesis strategy."""

from typing import Any

from hypothesis import strategies as st

from tallystick.messages.catalog import Price, Tier


def price(model: Any, *tiers: tuple[int | None, int, int], **fields: Any) -> Price:
    values: dict[str, Any] = {
        "price_id": "price_1",
        "version": 1,
        "code": "plan_monthly",
        "product": "plan",
        "model": model,
        "currency": "eur",
        "interval": "month",
        "unit_amount": None,
        "base_amount": 0,
        "tiers": [Tier(up_to=up_to, unit_amount=unit, flat_amount=flat) for up_to, unit, flat in tiers],
        "trial_days": None,
        "listed": True,
        "archived": False,
        "stripe_price_id": None,
    }
    return Price(**{**values, **fields})


amounts = st.integers(0, 10**7)
unit_amounts = st.integers(1, 10**7)
prices = st.one_of(
    st.builds(
        lambda unit, base: price("per_seat", unit_amount=unit, base_amount=base), unit_amounts, amounts
    ),
    st.builds(
        lambda model, rows, last, base: price(
            model,
            *((up_to, unit, flat) for up_to, (unit, flat) in zip(range(5, 500, 7), rows, strict=False)),
            (None, *last),
            base_amount=base,
        ),
        st.sampled_from(["volume", "graduated"]),
        st.lists(st.tuples(unit_amounts, amounts), max_size=6),
        st.tuples(unit_amounts, amounts),
        amounts,
    ),
)
