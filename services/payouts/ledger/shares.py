"""Rows of shares as the rules see them; a row is only written under the lock of its balance."""

from services.payouts.domain.seller_ledger import Share
from services.payouts.tables.ledger import ShareRow

_FIELDS = ("booked", "held", "fee", "frozen")


def share_of(row: ShareRow) -> Share:
    """Build the share that a row stores."""
    return Share(
        available_at=row.available_at, booked=row.booked, held=row.held, fee=row.fee, frozen=row.frozen
    )


def write_share(row: ShareRow, share: Share) -> None:
    """Write a share into its row."""
    for name in _FIELDS:
        setattr(row, name, getattr(share, name))
