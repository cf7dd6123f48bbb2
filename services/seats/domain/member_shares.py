"""The cost of each seat in a period: an equal share of the total of the period's invoices.

All purchased seats cost the same, regardless of their holders and of when they were assigned. Shares are
whole minor units and add up to the total.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tallystick.messages.subscriptions import InvoiceSnapshot, Span


@dataclass(frozen=True, slots=True)
class Shares:
    """Equal shares of a total; the first `larger` shares are one minor unit higher."""

    each: int
    larger: int

    def of(self, place: int) -> int:
        """Return the share of the seat at a position, counted from 0."""
        return self.each + (place < self.larger)

    def between(self, start: int, end: int) -> int:
        """Return the sum of the shares from position `start` up to but not including `end`."""
        return self.each * (end - start) + max(0, min(end, self.larger) - start)


def split_equally(total: int, seats: int) -> Shares:
    """Split a total, which may be negative, into one whole share per seat; `seats` is at least 1."""
    each, larger = divmod(total, seats)
    return Shares(each, larger)


def invoices_for_period(invoices: Sequence[InvoiceSnapshot], period: Span) -> list[InvoiceSnapshot]:
    """Return the invoices for a period: its prepayment, and changes within it that were billed at once."""
    return [
        invoice
        for invoice in invoices
        if invoice.status != "void"
        and any(line.period.end == period.end and line.period.start >= period.start for line in invoice.lines)
    ]
