"""The share rule: lines added up, rounded down, and what is left of a share after refunds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.payouts.domain.shares import Payback, Sale, owed_fee, owed_share, sales_of
from tallystick.messages.base import Customer
from tallystick.messages.catalog import FlatFeeEntry
from tallystick.messages.payouts import SoldLine

A, B = (Customer(type="organization", id=name) for name in ("a", "b"))


def line(
    net: int, *, product: str = "space", seller: Customer = A, percent: int = 85, fee: int = 0
) -> SoldLine:
    """A line of a paid invoice."""
    terms = FlatFeeEntry(amount=fee, currency="eur") if fee else None
    return SoldLine(product=product, seller=seller, share_percent=percent, fee=terms, net=net)


@pytest.mark.parametrize(
    ("net", "percent", "share"),
    [
        (10_000, 85, 8_500),
        (999, 85, 849),  # 849.15
        (1, 85, 0),
        (0, 85, 0),
        (10_000, 0, 0),
        (10_000, 100, 10_000),
        (-1_000, 85, -850),
        (-999, 85, -850),  # -849.15: what is left stays with the platform
    ],
)
def test_a_share_is_rounded_down(net: int, percent: int, share: int) -> None:
    assert owed_share(net, percent, Payback(total=12_000)) == share


def test_lines_of_a_product_are_added_up_before_rounding() -> None:
    sales = sales_of([line(333), line(333), line(333)], "eur")
    assert sales == [Sale("space", A.token, 85, 0, 999)]


def test_prorations_of_a_product_are_set_off_against_each_other() -> None:
    # An upgrade in the middle of the month: unused time back, remaining time of the larger plan.
    (sale,) = sales_of([line(-500), line(1_000)], "eur")
    assert owed_share(sale.net, sale.share_percent, Payback(total=500)) == 425


def test_products_and_sellers_are_kept_apart() -> None:
    lines = [line(2_000), line(-1_000, product="old", seller=B), line(500, product="extra", percent=50)]
    shares = {
        (sale.product, sale.seller): owed_share(sale.net, sale.share_percent, Payback(total=1_500))
        for sale in sales_of(lines, "eur")
    }
    assert shares == {("space", A.token): 1_700, ("old", B.token): -850, ("extra", A.token): 250}


def test_a_fee_is_charged_once_a_product_in_its_own_currency_and_never_above_the_share() -> None:
    assert [sale.fee for sale in sales_of([line(500, fee=30), line(500, fee=30)], "eur")] == [30]
    assert [sale.fee for sale in sales_of([line(500, fee=30)], "usd")] == [0]
    assert (owed_fee(30, 850), owed_fee(30, 20), owed_fee(30, -850)) == (30, 20, 0)


@pytest.mark.parametrize(
    ("payback", "left"),
    [
        (Payback(total=11_900), 8_500),
        (Payback(total=11_900, refunded=5_950), 4_250),
        (Payback(total=11_900, refunded=11_900), 0),
        (Payback(total=11_900, refunded=1), 8_499),  # 8,499.28
        (Payback(total=11_900, lost=11_900), 0),
        (Payback(total=11_900, refunded=6_000, lost=6_000), 0),
        (Payback(total=11_900, refunded=-5), 8_500),
        (Payback(total=0), 8_500),
        (Payback(total=-500), 8_500),
    ],
)
def test_what_is_left_of_a_share(payback: Payback, left: int) -> None:
    assert owed_share(10_000, 85, payback) == left


@given(net=st.integers(0, 10**12), percent=st.integers(0, 100), total=st.integers(1, 10**12), data=st.data())
def test_paying_back_more_never_leaves_more(net: int, percent: int, total: int, data: st.DataObject) -> None:
    refunds = sorted(data.draw(st.lists(st.integers(0, total), min_size=1, max_size=5)))
    left = [owed_share(net, percent, Payback(total=total, refunded=refund)) for refund in refunds]
    assert left == sorted(left, reverse=True)
    assert all(0 <= each <= net * percent // 100 for each in left)
    assert owed_share(net, percent, Payback(total=total, refunded=total)) == 0
