"""The share rule: what a seller is owed of a paid invoice, and what is left of it after refunds.

Amounts are whole minor units of the invoice's currency. A share is rounded down once, for all lines of a
product together, and what is left stays with the platform.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from tallystick.messages.payouts import SoldLine

PERCENT = 100


@dataclass(frozen=True, slots=True)
class Sale:
    """All lines of one product on one paid invoice, at one seller's terms."""

    product: str
    seller: str
    share_percent: int
    fee: int
    net: int


@dataclass(frozen=True, slots=True)
class Payback:
    """What the buyer of an invoice got back, out of a total with tax."""

    total: int
    refunded: int = 0
    """Refunds or credit notes, with tax."""
    lost: int = 0
    """Disputes that were lost, with tax."""

    @property
    def kept(self) -> int:
        """The part of the total that the platform keeps; never below zero."""
        return max(0, self.total - max(0, self.refunded) - max(0, self.lost))


def sales_of(lines: Iterable[SoldLine], currency: str) -> list[Sale]:
    """Add up an invoice's lines by product and seller, in the order of the lines.

    A fee applies once for each product, in its own currency only.
    """
    sales: dict[tuple[str, str, int], Sale] = {}
    for line in lines:
        key = (line.product, line.seller.token, line.share_percent)
        fee = line.fee.amount if line.fee is not None and line.fee.currency == currency else 0
        before = sales.get(key)
        net = line.net + (before.net if before else 0)
        sales[key] = Sale(*key, fee=max(fee, before.fee if before else 0), net=net)
    return list(sales.values())


def owed_share(net: int, share_percent: int, payback: Payback) -> int:
    """Return the share of a net amount, rounded down; negative for a credit.

    Of what the buyer got back, the seller bears the same part as of the invoice's total. An invoice of which
    nothing was to be paid cannot be refunded.
    """
    if payback.total <= 0:
        return net * share_percent // PERCENT
    return net * share_percent * payback.kept // (PERCENT * payback.total)


def owed_fee(fee: int, share: int) -> int:
    """Return the fee on a share as it was earned: never more than the share."""
    return min(fee, max(0, share))
