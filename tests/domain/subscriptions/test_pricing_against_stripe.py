"""Our price calculation and the one of the Stripe stand-in, written independently, give the same amounts."""

from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sandbox.stripe.billing import pricing as theirs
from services.subscriptions.catalog.stripe_prices import UNBOUNDED, stripe_money
from services.subscriptions.domain.pricing import period_amount
from services.subscriptions.domain.proration import PricedQuantity, prorated
from tallystick.messages.catalog import Price
from tests.support.price_values import price, prices

flat = st.integers(0, 10**7).map(lambda amount: price("flat", unit_amount=amount))


def in_stripe(wanted: Price) -> dict[str, Any]:
    """The price object as Stripe would store it; its last tier has no upper bound."""
    params = stripe_money(wanted, has_seats=True).parameters()
    tiers = [
        {**tier, "up_to": None if tier["up_to"] == UNBOUNDED else tier["up_to"]}
        for tier in params.get("tiers", [])
    ]
    return {**params, "tiers": tiers}


@given(st.one_of(prices, flat), st.integers(1, 100_000))
def test_a_whole_period(wanted: Price, quantity: int) -> None:
    assert period_amount(wanted, quantity) == theirs.total(in_stripe(wanted), quantity)


@given(st.one_of(prices, flat), st.integers(1, 1000), st.fractions(0, 1))
def test_a_part_of_a_period(wanted: Price, quantity: int, share: Fraction) -> None:
    exact = theirs.total(in_stripe(wanted), quantity) * share
    assert prorated(PricedQuantity(wanted, quantity), share) == theirs.round_minor(exact)
