"""Invariants of this service's live data, checked by `./dev audit`."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.operations.audit import LiveSystem
from shared.operations.audit_helpers import lasting_violations
from shared.operations.row_versions import RowsMatchLastEvents

SCHEMA = "payouts"
_KEYS = {
    ("payout_account", "accounts"): "payout_account_id",
    ("payout", "payouts"): "payout_id",
    ("seller_balance", "seller_balances"): "(customer || '.' || currency)",
}
"""The key column by entity and table; the outbox holds its value as `entity_id`."""


@dataclass(frozen=True, slots=True)
class BalancesAreTheSumsOfTheLedger:
    """Every sum of a balance is that of its entries, and what is pending is what its shares hold."""

    name: str = "balances of sellers are the sums of their ledger entries"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Return the balances that differ from entries, releases or held shares."""
        rows = await live.rows(
            SCHEMA,
            """WITH summed AS (
                    SELECT customer, currency,
                        sum(amount) FILTER (WHERE kind = 'earned') AS earned,
                        sum(amount) FILTER (WHERE kind = 'fee') AS fee,
                        sum(amount) FILTER (WHERE kind = 'reversed') AS reversed,
                        sum(amount) FILTER (WHERE kind = 'adjusted') AS adjusted,
                        sum(amount) FILTER (WHERE kind = 'paid_out') AS paid_out,
                        sum(amount) FILTER (WHERE kind = 'returned') AS returned,
                        sum(pending_change) AS pending, sum(available_change) AS available
                    FROM {schema}.seller_entries GROUP BY customer, currency),
                released AS (SELECT customer, currency, sum(amount) AS amount
                    FROM {schema}.seller_releases GROUP BY customer, currency),
                held AS (SELECT customer, currency, sum(held) AS amount
                    FROM {schema}.shares GROUP BY customer, currency)
                SELECT customer, currency FROM {schema}.seller_balances AS balance
                FULL JOIN summed USING (customer, currency)
                LEFT JOIN released USING (customer, currency)
                LEFT JOIN held USING (customer, currency)
                WHERE balance.earned IS DISTINCT FROM coalesce(summed.earned, 0)
                   OR balance.fee <> coalesce(summed.fee, 0)
                   OR balance.reversed <> coalesce(summed.reversed, 0)
                   OR balance.adjusted <> coalesce(summed.adjusted, 0)
                   OR balance.paid_out <> coalesce(summed.paid_out, 0)
                   OR balance.returned <> coalesce(summed.returned, 0)
                   OR balance.pending <> coalesce(summed.pending, 0) - coalesce(released.amount, 0)
                   OR balance.available <> coalesce(summed.available, 0) + coalesce(released.amount, 0)
                   OR balance.pending <> coalesce(held.amount, 0)
                   OR balance.earned - balance.fee - balance.reversed + balance.adjusted + balance.returned
                      <> balance.pending + balance.available + balance.paid_out LIMIT 20""",
        )
        return [f"{row['customer']} in {row['currency']}: balance and ledger differ" for row in rows]


@dataclass(frozen=True, slots=True)
class SharesAreBookedOnce:
    """What was booked for an invoice's shares is the sum of its entries."""

    name: str = "each share of an invoice is booked once"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Return the invoices whose shares and entries differ."""
        rows = await live.rows(
            SCHEMA,
            """WITH entries AS (
                    SELECT invoice_id, sum(CASE kind WHEN 'earned' THEN amount WHEN 'reversed' THEN -amount
                                           ELSE 0 END) AS booked,
                        sum(amount) FILTER (WHERE kind = 'fee') AS fee
                    FROM {schema}.seller_entries WHERE invoice_id IS NOT NULL GROUP BY invoice_id),
                shares AS (SELECT invoice_id, sum(booked) AS booked, sum(fee) AS fee
                    FROM {schema}.shares GROUP BY invoice_id)
                SELECT invoice_id, coalesce(shares.booked, 0) AS share, coalesce(entries.booked, 0) AS entry
                FROM shares FULL JOIN entries USING (invoice_id)
                WHERE coalesce(shares.booked, 0) <> coalesce(entries.booked, 0)
                   OR coalesce(shares.fee, 0) <> coalesce(entries.fee, 0) LIMIT 20""",
        )
        return [
            f"{row['invoice_id']}: {row['share']} in its shares, {row['entry']} in entries" for row in rows
        ]


@dataclass(frozen=True, slots=True)
class PayoutsMatchTheLedger:
    """Each payout took its amount from the balance once, and returned what failed or was taken back."""

    name: str = "each payout is taken from the balance once"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Return the payouts whose entries differ."""
        rows = await live.rows(
            SCHEMA,
            """WITH entries AS (
                    SELECT payout_id, coalesce(sum(amount) FILTER (WHERE kind = 'paid_out'), 0) AS paid_out,
                        coalesce(sum(amount) FILTER (WHERE kind = 'returned'), 0) AS returned
                    FROM {schema}.seller_entries WHERE payout_id IS NOT NULL GROUP BY payout_id)
                SELECT payout_id, status FROM {schema}.payouts FULL JOIN entries USING (payout_id)
                WHERE payouts.amount IS DISTINCT FROM entries.paid_out
                   OR entries.returned <> CASE status WHEN 'failed' THEN amount ELSE amount_reversed END
                LIMIT 20""",
        )
        return [f"{row['payout_id']} is {row['status']}, which its entries do not say" for row in rows]


@dataclass(frozen=True, slots=True)
class ReportedSalesAreRecorded:
    """Every sale that `subscriptions` has reported is in the ledger."""

    name: str = "every reported sale is recorded for its sellers"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Return the invoices whose sale is missing even after commands have had time to arrive."""
        return await lasting_violations(lambda: self._missing(live))

    async def _missing(self, live: LiveSystem) -> list[str]:
        rows = await live.rows(
            SCHEMA,
            """WITH reported AS (
                    SELECT convert_from(payload, 'UTF8')::jsonb ->> 'invoice_id' AS invoice_id
                    FROM subscriptions.outbox WHERE subject LIKE '%%.commands.payouts.record_sale')
                SELECT invoice_id FROM reported LEFT JOIN {schema}.invoices USING (invoice_id)
                WHERE invoices.total IS NULL LIMIT 20""",
        )
        return [f"the sale of {row['invoice_id']} is not recorded" for row in rows]


INVARIANTS = (
    BalancesAreTheSumsOfTheLedger(),
    SharesAreBookedOnce(),
    PayoutsMatchTheLedger(),
    ReportedSalesAreRecorded(),
    RowsMatchLastEvents(SCHEMA, _KEYS),
)
