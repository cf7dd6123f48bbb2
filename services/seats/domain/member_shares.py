"""What each seat costs in a period: an equal share of what the period's invoices come to.

Every seat that was bought costs the same, whoever holds it and since when; shares are whole minor units and
come to the invoices' total exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tallystick.messages.subscriptions import InvoiceSnapshot, Span


@dataclass(frozen=True, slots=True)
class Shares:
    """Equal shares of a total; the first `larger` of them are one minor unit more."""

    each: int
    larger: int

    def of(self, place: int) -> int:
        """The share of the seat at a place, from 0."""
        return self.each + (place < self.larger)

    def between(self, start: int, end: int) -> int:
        """The shares of the seats from `start` up to but not including `end`."""
        return self.each * (end - start) + max(0, min(end, self.larger) - start)


def split_equally(total: int, seats: int) -> Shares:
    """A total, which may be negative, in as many whole shares as there are seats (at least one)."""
    each, larger = divmod(total, seats)
    return Shares(each, larger)


def invoices_for_period(invoices: Sequence[InvoiceSnapshot], period: Span) -> list[InvoiceSnapshot]:
    """The invoices for a period: what was paid in advance for it, and what changes within it cost at once."""
    return [
        invoice
        for invoice in invoices
        if invoice.status != "void"
        and any(line.period.end == period.end and line.period.start >= period.start for line in invoice.lines)
    ]
