"""What sellers earn, give back and hold: sales, refunds, disputes, releases, corrections."""

from typing import Any

import psycopg
import pytest

from tallystick.messages import payouts as m
from tallystick.messages.base import Customer
from tests.support.worlds.sellers import ACME, SellerWorld, sold

BETA = Customer(type="organization", id="beta")


async def test_a_paid_invoice_is_earned_once_and_held_for_seven_days(sellers: SellerWorld) -> None:
    assert await sellers.sells(sold(10_000)) == {"invoice_id": "inv_1", "entries": 1}
    await sellers.sells(sold(10_000))
    assert await sellers.balance() == (8_500, 0, 0)
    (entry,) = (await sellers.asks(m.ListSellerEntries(customer=ACME)))["items"]
    assert (entry["kind"], entry["amount"]) == ("earned", {"amount": 8_500, "currency": "eur"})
    assert (entry["invoice_id"], entry["product"], entry["share_percent"]) == ("inv_1", "space", 85)
    await sellers.releases(days=6.9)
    assert await sellers.balance() == (8_500, 0, 0)
    await sellers.releases(days=0.2)
    assert await sellers.balance() == (0, 8_500, 0)
    await sellers.releases(days=1)
    assert await sellers.names("seller_balance") == ["changedV1", "changedV1"]


async def test_several_sellers_products_and_currencies(sellers: SellerWorld) -> None:
    await sellers.sells(
        sold(2_000, product="new"), sold(-1_000, product="old", seller=BETA), sold(999, product="extra")
    )
    assert await sellers.balance() == (1_700 + 849, 0, 0)
    assert await sellers.balance(BETA) == (0, -850, 0)
    assert await sellers.entries(BETA) == [("reversed", 850)]
    await sellers.sells(sold(500, fee=30), invoice="inv_2", currency="usd")
    assert await sellers.balance(currency="usd") == (425, 0, 0)
    await sellers.sells(sold(500, fee=30), invoice="inv_3")
    assert await sellers.balance() == (1_700 + 849 + 395, 0, 0)


async def test_a_seller_with_a_schedule_has_own_hold_days(sellers: SellerWorld) -> None:
    await sellers.connected()
    await sellers.schedules(hold_days=0)
    await sellers.sells(sold(10_000))
    assert await sellers.balance() == (0, 8_500, 0)


async def test_refunds_take_the_same_share_back_exactly(sellers: SellerWorld) -> None:
    await sellers.sells(sold(10_000), sold(3_333, product="other", seller=BETA, percent=33), total=15_867)
    assert (await sellers.balance(), await sellers.balance(BETA)) == ((8_500, 0, 0), (1_099, 0, 0))
    await sellers.invoice("refunded", version=4, amount_refunded=5_000)
    # 8,500 × 10,867 / 15,867 = 5,821.46…; 1,099.89 × 10,867 / 15,867 = 753.29…
    assert (await sellers.balance(), await sellers.balance(BETA)) == ((5_821, 0, 0), (753, 0, 0))
    await sellers.invoice("refunded", version=4, amount_refunded=5_000)
    await sellers.invoice("refunded", version=5, amount_refunded=15_867)
    assert (await sellers.balance(), await sellers.balance(BETA)) == ((0, 0, 0), (0, 0, 0))
    assert await sellers.entries() == [("earned", 8_500), ("reversed", 2_679), ("reversed", 5_821)]


async def test_events_in_any_order_book_the_same(sellers: SellerWorld) -> None:
    await sellers.invoice("refunded", version=5, amount_refunded=11_900)
    await sellers.invoice("refunded", version=4, amount_refunded=5_000)
    await sellers.sells(sold(10_000))
    assert await sellers.entries() == []
    assert await sellers.balance() == (0, 0, 0)


async def test_a_refund_after_the_payout_is_set_off_against_what_comes(sellers: SellerWorld) -> None:
    await sellers.connected()
    await sellers.sells(sold(10_000))
    await sellers.releases(days=8)
    await sellers.does(sellers.pay_out())
    await sellers.invoice("refunded", version=4, amount_refunded=11_900)
    assert await sellers.balance() == (0, -8_500, 8_500)
    assert (await sellers.refuses(sellers.pay_out()))[0] == "insufficient_balance"
    await sellers.sells(sold(20_000), invoice="inv_2")
    await sellers.releases(days=8)
    assert await sellers.balance() == (0, 8_500, 8_500)


async def test_a_dispute_holds_the_share_until_it_is_won(sellers: SellerWorld) -> None:
    await sellers.sells(sold(10_000))
    await sellers.releases(days=8)
    await sellers.invoice("disputed", version=4, disputed=True, amount_disputed=11_900)
    assert await sellers.balance() == (8_500, 0, 0)
    await sellers.releases(days=60)
    assert await sellers.balance() == (8_500, 0, 0)
    await sellers.invoice("disputeClosed", version=5)
    assert await sellers.balance() == (0, 8_500, 0)
    assert await sellers.entries() == [("earned", 8_500)]


@pytest.mark.parametrize("reordered", [False, True])
async def test_a_dispute_that_is_lost_takes_the_share_back(sellers: SellerWorld, reordered: bool) -> None:
    await sellers.sells(sold(10_000))
    disputed: dict[str, Any] = {"disputed": True, "amount_disputed": 11_900}
    events = [("disputed", 4), ("disputeClosed", 5), ("updated", 6)]
    for name, version in reversed(events) if reordered else events:
        await sellers.invoice(name, version=version, **disputed)
    assert await sellers.balance() == (0, 0, 0)
    assert await sellers.entries() == [("earned", 8_500), ("reversed", 8_500)]


async def test_a_second_dispute_holds_only_what_the_first_has_left(sellers: SellerWorld) -> None:
    await sellers.sells(sold(10_000))
    await sellers.invoice("disputed", version=4, disputed=True, amount_disputed=5_950)
    await sellers.invoice("disputeClosed", version=5, disputed=True, amount_disputed=5_950)
    assert await sellers.balance() == (4_250, 0, 0)
    await sellers.releases(days=8)
    await sellers.invoice("disputed", version=6, disputed=True, amount_disputed=11_900)
    assert await sellers.balance() == (4_250, 0, 0)
    await sellers.invoice("disputeClosed", version=7, disputed=True, amount_disputed=5_950)
    assert await sellers.balance() == (0, 4_250, 0)
    assert await sellers.entries() == [("earned", 8_500), ("reversed", 4_250)]


async def test_a_credit_note_counts_like_the_refund_that_it_made(sellers: SellerWorld) -> None:
    await sellers.sells(sold(10_000))
    await sellers.invoice("updated", version=4, amount_credited=5_950)
    await sellers.invoice("refunded", version=5, amount_credited=5_950, amount_refunded=5_950)
    assert await sellers.balance() == (4_250, 0, 0)


async def test_invoices_of_nobodys_products_are_not_kept(sellers: SellerWorld) -> None:
    await sellers.invoice("paid", version=3)
    assert await sellers.bound.rows("SELECT * FROM payouts.invoices") == []


async def test_corrections_by_hand(sellers: SellerWorld) -> None:
    await sellers.adjusts(500)
    await sellers.adjusts(-700)
    assert await sellers.balance() == (0, -200, 0)
    assert await sellers.entries() == [("adjusted", 500), ("adjusted", -700)]


async def test_entries_in_pages(sellers: SellerWorld) -> None:
    for amount in range(1, 6):
        await sellers.adjusts(amount)
    seen: list[int] = []
    cursor = None
    while True:
        page = await sellers.asks(m.ListSellerEntries(customer=ACME, limit=2, cursor=cursor))
        seen += [entry["amount"]["amount"] for entry in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [5, 4, 3, 2, 1]
    assert (await sellers.asks(m.ListSellerEntries(customer=ACME, kind="earned")))["items"] == []


@pytest.mark.parametrize("table", ["seller_entries", "seller_releases"])
@pytest.mark.parametrize("change", ["UPDATE payouts.{} SET amount = 1", "DELETE FROM payouts.{}"])
async def test_nobody_changes_the_ledger(sellers: SellerWorld, table: str, change: str) -> None:
    await sellers.sells(sold(10_000))
    await sellers.releases(days=8)
    with pytest.raises(psycopg.Error, match="the ledger only grows"):
        await sellers.bound.execute(change.format(table))
    async with await psycopg.AsyncConnection.connect(sellers.bound.url) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute(change.format(table))


async def test_a_balance_that_does_not_add_up_cannot_be_written(sellers: SellerWorld) -> None:
    await sellers.adjusts(500)
    with pytest.raises(psycopg.errors.CheckViolation):
        await sellers.bound.execute("UPDATE payouts.seller_balances SET available = available + 1")
