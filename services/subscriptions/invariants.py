"""Invariants of this service's live data, for `./dev audit`."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.subscriptions.domain.entitlements import NO_ALLOWANCE, HeldSeat, compute_entitlements
from services.subscriptions.domain.overrides import Override
from services.subscriptions.domain.subscription_state import State
from services.subscriptions.repository.overrides import override_from_row
from services.subscriptions.snapshots import allowance_from_row, state_from_row
from services.subscriptions.tables.overrides import OverrideRow
from services.subscriptions.tables.subscriptions import EntitlementRow, SubscriptionRow
from shared.operations.audit import LiveSystem
from shared.operations.audit_helpers import bucket_values, lasting_violations
from shared.operations.row_versions import RowsMatchLastEvents
from tallystick.messages.subscriptions import Allowance, BucketEntry
from tallystick.subjects import ENTITLEMENTS_BUCKET, entitlement_key

SCHEMA = "subscriptions"

_KEYS = {
    ("customer", "customers"): "customer_id",
    ("subscription", "subscriptions"): "subscription_id",
    ("invoice", "invoices"): "invoice_id",
    ("entitlement", "entitlements"): "customer || '.' || feature",
    ("add_on", "add_ons"): "add_on_id",
    ("payment_link", "payment_links"): "payment_link_id",
}
"""The expression for an entity's id in the outbox, by entity and table."""


@dataclass(frozen=True, slots=True)
class BucketMatchesTables:
    """Every key of `billing_entitlements` has the value of its row, and there is no other key."""

    name: str = "the entitlements bucket equals the tables"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Return keys that still differ after everything committed had time to be published."""
        return await lasting_violations(lambda: self._differences(live))

    async def _differences(self, live: LiveSystem) -> list[str]:
        rows = await _entitlements(live)
        wanted = {
            entitlement_key(row.customer, row.feature): BucketEntry(
                version=row.version, **dict(allowance_from_row(row))
            )
            for row in rows
            if row.granted
        }
        found = await bucket_values(live, ENTITLEMENTS_BUCKET, BucketEntry)
        return [
            f"{key}: the tables say {wanted.get(key)!r}, the bucket {found.get(key)!r}"
            for key in sorted(wanted.keys() | found.keys())
            if wanted.get(key) != found.get(key)
        ]


@dataclass(frozen=True, slots=True)
class EntitlementsMatchSources:
    """The stored entitlements are those computed from subscriptions, seats and overrides."""

    name: str = "entitlements are what subscriptions, seats and overrides give"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Return stored entitlements that differ from the computed ones."""
        return await lasting_violations(lambda: self._differences(live))

    async def _differences(self, live: LiveSystem) -> list[str]:
        states: dict[str, dict[str, State]] = {}
        for row in await live.rows(SCHEMA, "SELECT * FROM {schema}.subscriptions WHERE ended_at IS NULL"):
            subscription = SubscriptionRow(**row)
            states.setdefault(subscription.customer, {})[subscription.subscription_id] = state_from_row(
                subscription
            )
        overrides: dict[str, list[Override]] = {}
        for row in await live.rows(SCHEMA, "SELECT * FROM {schema}.overrides WHERE ended_at IS NULL"):
            overrides.setdefault(row["customer"], []).append(override_from_row(OverrideRow(**row)))
        seats = await _seats(live, {of: state for by_id in states.values() for of, state in by_id.items()})
        wanted: dict[tuple[str, str], Allowance] = {
            (customer, feature): allowance
            for customer in states.keys() | overrides.keys() | seats.keys()
            for feature, allowance in compute_entitlements(
                states.get(customer, {}), overrides.get(customer, []), seats.get(customer, [])
            ).items()
        }
        stored = {(row.customer, row.feature): row for row in await _entitlements(live)}
        return [
            f"{customer}.{feature} should be {wanted.get((customer, feature), NO_ALLOWANCE)!r}"
            for customer, feature in sorted(wanted.keys() | stored.keys())
            if not _is_right(stored.get((customer, feature)), wanted.get((customer, feature)))
        ]


@dataclass(frozen=True, slots=True)
class RefundsAddUp:
    """What is refunded of an invoice is the sum of its refunds, and no more than was paid."""

    name: str = "refunds add up, to no more than was paid"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Return invoices whose refunds do not add up."""
        rows = await live.rows(
            SCHEMA,
            """SELECT invoice_id, amount_paid, amount_refunded, coalesce(made.amount, 0) AS made,
                      coalesce(made.reserved, 0) AS reserved
               FROM {schema}.invoices LEFT JOIN (
                   SELECT invoice_id, sum(amount) AS reserved,
                          coalesce(sum(amount) FILTER (WHERE stripe_refund_id IS NOT NULL), 0) AS amount
                   FROM {schema}.refunds WHERE status NOT IN ('failed', 'canceled') GROUP BY invoice_id
               ) AS made USING (invoice_id)
               WHERE amount_refunded <> coalesce(made.amount, 0) OR coalesce(made.reserved, 0) > amount_paid
               LIMIT 20""",
        )
        return [
            f"{row['invoice_id']}: {row['amount_refunded']} refunded, its refunds are {row['made']},"
            f" {row['reserved']} with those under way, of {row['amount_paid']} paid"
            for row in rows
        ]


INVARIANTS = (
    BucketMatchesTables(),
    EntitlementsMatchSources(),
    RowsMatchLastEvents(SCHEMA, _KEYS),
    RefundsAddUp(),
)


def _is_right(row: EntitlementRow | None, wanted: Allowance | None) -> bool:
    if row is None:
        return wanted is None
    return row.granted == (wanted is not None) and allowance_from_row(row) == (wanted or NO_ALLOWANCE)


async def _entitlements(live: LiveSystem) -> list[EntitlementRow]:
    rows = await live.rows(SCHEMA, "SELECT * FROM {schema}.entitlements")
    return [EntitlementRow(**row) for row in rows]


async def _seats(live: LiveSystem, states: dict[str, State]) -> dict[str, list[HeldSeat]]:
    """Load the seats that grant anything, by member token."""
    rows = await live.rows(
        SCHEMA,
        """SELECT member, seat_id, multiplier, subscription_id
           FROM {schema}.known_seats JOIN {schema}.known_teams USING (team_id)
           WHERE claimed AND has_access""",
    )
    seats: dict[str, list[HeldSeat]] = {}
    for row in rows:
        if row["subscription_id"] in states:
            held = HeldSeat(
                row["seat_id"], row["subscription_id"], states[row["subscription_id"]], row["multiplier"]
            )
            seats.setdefault(row["member"], []).append(held)
    return seats
