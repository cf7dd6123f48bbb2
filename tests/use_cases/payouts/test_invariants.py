"""The invariants of the service on correct and on corrupted data."""

from collections.abc import AsyncIterator

import psycopg
import pytest
from nats.aio.client import Client
from psycopg.rows import dict_row

from services.payouts import invariants
from shared.operations import audit_helpers
from shared.operations.audit import LiveSystem
from tallystick.subjects import Subjects
from tests.support.worlds.sellers import SellerWorld, sold

LEDGER = "balances of sellers are the sums of their ledger entries"
SHARES = "each share of an invoice is booked once"
PAYOUTS = "each payout is taken from the balance once"
SALES = "every reported sale is recorded for its sellers"
VERSIONS = "rows are at the version that was told last"


@pytest.fixture
async def seller(sellers: SellerWorld) -> SellerWorld:
    """A seller with earnings held and released, a refund, a dispute, and a payout of each kind."""
    await sellers.connected()
    await sellers.sells(sold(10_000, fee=30))
    await sellers.releases(days=8)
    await sellers.sells(sold(5_000), sold(-700, product="old"), invoice="inv_2")
    await sellers.invoice("refunded", version=4, amount_refunded=1_190)
    await sellers.invoice("disputed", invoice="inv_2", version=4, disputed=True, amount_disputed=5_117)
    await sellers.does(sellers.pay_out(1_000))
    account = await sellers.account()
    await sellers.knob(account["stripe_account_id"], disabled_reason="rejected.fraud")
    await sellers.does(sellers.pay_out(500))
    return sellers


@pytest.fixture
async def live(seller: SellerWorld, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LiveSystem]:
    # What is wrong in these tests stays wrong: one second look is enough.
    monkeypatch.setattr(audit_helpers, "PENDING_MAX_SECONDS", audit_helpers.RETRY_SECONDS)
    database = await psycopg.AsyncConnection.connect(
        seller.bound.owner_url, autocommit=True, row_factory=dict_row
    )
    yield LiveSystem(database, Client(), Subjects())
    await database.close()


async def broken(live: LiveSystem) -> set[str]:
    """Return the names of the violated invariants."""
    return {one.name for one in invariants.INVARIANTS if await one.violations(live)}


async def test_what_the_service_writes_is_sound(live: LiveSystem) -> None:
    assert await broken(live) == set()


UNGUARDED = "ALTER TABLE payouts.seller_entries DISABLE TRIGGER append_only; "
GUARDED = "; ALTER TABLE payouts.seller_entries ENABLE TRIGGER append_only"


@pytest.mark.parametrize(
    ("corruption", "found"),
    [
        ("UPDATE payouts.seller_balances SET pending = pending + 1, available = available - 1", {LEDGER}),
        ("UPDATE payouts.seller_balances SET earned = earned + 1, fee = fee + 1", {LEDGER}),
        ("UPDATE payouts.shares SET held = held + 1 WHERE held > 0", {LEDGER}),
        (
            UNGUARDED + "DELETE FROM payouts.seller_entries WHERE kind = 'returned'" + GUARDED,
            {LEDGER, PAYOUTS},
        ),
        (
            UNGUARDED + "DELETE FROM payouts.seller_entries WHERE kind = 'reversed'" + GUARDED,
            {LEDGER, SHARES},
        ),
        ("UPDATE payouts.shares SET booked = booked + 1 WHERE product = 'old'", {SHARES}),
        ("UPDATE payouts.payouts SET amount = amount + 1 WHERE status = 'paid'", {PAYOUTS}),
        ("UPDATE payouts.payouts SET status = 'paid', failure = NULL WHERE status = 'failed'", {PAYOUTS}),
        ("UPDATE payouts.seller_balances SET version = version + 1", {VERSIONS}),
        ("UPDATE payouts.invoices SET total = NULL", set()),
    ],
)
async def test_what_is_wrong_is_found(
    seller: SellerWorld, live: LiveSystem, corruption: str, found: set[str]
) -> None:
    await seller.bound.execute(corruption)
    assert await broken(live) == found


async def test_a_sale_that_was_reported_and_never_recorded_is_found(
    seller: SellerWorld, live: LiveSystem
) -> None:
    await seller.bound.execute(
        """INSERT INTO subscriptions.outbox (message_id, stream, subject, headers, payload, caused_by,
                occurred_at)
            VALUES ('sale.inv_3', 'BILLING_COMMANDS', 'billing.commands.payouts.record_sale', '{}',
                '{"invoice_id": "inv_3"}', 'evt_1', now()),
                ('sale.inv_1', 'BILLING_COMMANDS', 'billing.commands.payouts.record_sale', '{}',
                '{"invoice_id": "inv_1"}', 'evt_1', now())"""
    )
    assert await broken(live) == {SALES}
