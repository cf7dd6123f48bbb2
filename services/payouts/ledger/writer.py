"""The only place that writes ledger entries, releases and balances, and emits the events of balances."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.payouts.domain.seller_ledger import Movement, apply
from services.payouts.ledger.snapshots import balance_snapshot, entry_snapshot
from services.payouts.tables.ledger import BalanceRow, EntryRow, ReleaseRow
from shared.ids import new_id
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import payouts as m
from tallystick.messages.base import Customer

Key = tuple[str, str]
"""A balance: the seller's token and the currency."""


@dataclass(slots=True)
class OpenLedger:
    """Locked balances, and what was written to them in this transaction."""

    work: UnitOfWork
    balances: dict[Key, BalanceRow]
    _changed: dict[Key, list[EntryRow]] = field(default_factory=dict)

    def balance(self, key: Key) -> BalanceRow:
        """Return a locked balance."""
        return self.balances[key]

    def write(self, key: Key, movement: Movement | None, **about: Any) -> EntryRow | None:
        """Write a movement: an entry, or a release where it has no kind; None writes nothing.

        `about` are columns of the entry: `invoice_id`, `product`, `payout_id`, `reason` and so on.
        """
        if movement is None:
            return None
        apply(movement, self.balances[key])
        entries = self._changed.setdefault(key, [])
        if movement.kind is None:
            self._write_release(key, movement, about)
            return None
        entry = EntryRow(
            entry_id=new_id("sent"),
            customer=key[0],
            currency=key[1],
            kind=movement.kind,
            amount=movement.amount,
            pending_change=movement.pending,
            available_change=movement.available,
            caused_by=self.work.caused_by,
            occurred_at=self.work.now,
            **about,
        )
        self.work.session.add(entry)
        entries.append(entry)
        return entry

    def emit(self) -> None:
        """Emit an event for each balance that was written to; called once, at the end."""
        for key, entries in sorted(self._changed.items()):
            row = self.balances[key]
            row.version += 1
            self.work.emit(
                m.SellerBalanceEvent,
                "changed",
                customer=Customer.from_token(row.customer),
                version=row.version,
                seller_balance=balance_snapshot(row),
                entries=[entry_snapshot(entry) for entry in entries],  # type: ignore[misc] # models
            )

    def _write_release(self, key: Key, movement: Movement, about: dict[str, Any]) -> None:
        self.work.session.add(
            ReleaseRow(
                release_id=new_id("srel"),
                customer=key[0],
                currency=key[1],
                amount=movement.available,
                invoice_id=about.get("invoice_id"),
                product=about.get("product"),
                caused_by=self.work.caused_by,
                occurred_at=self.work.now,
            )
        )


async def open_ledger(work: UnitOfWork, keys: Iterable[Key]) -> OpenLedger:
    """Lock balances in their order, creating those that do not exist yet."""
    wanted = sorted(set(keys))
    if not wanted:
        return OpenLedger(work, {})
    rows = [{"customer": customer, "currency": currency} for customer, currency in wanted]
    await work.session.execute(insert(BalanceRow).values(rows).on_conflict_do_nothing())
    query = (
        sa.select(BalanceRow)
        .where(sa.tuple_(BalanceRow.customer, BalanceRow.currency).in_(wanted))
        .order_by(BalanceRow.customer, BalanceRow.currency)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    found = await work.session.scalars(query)
    return OpenLedger(work, {(row.customer, row.currency): row for row in found})
