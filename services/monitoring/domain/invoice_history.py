"""What an invoice brought in, from version to version: collected, refunded, past due and recovered."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from services.monitoring.domain.history import Run
from services.monitoring.domain.movements import Entry, Kind
from tallystick.messages.subscriptions import InvoiceStatus


@dataclass(frozen=True, slots=True)
class InvoiceContent:
    """What counts of one version of an invoice; amounts in minor units."""

    status: InvoiceStatus
    currency: str
    amount_due: int
    amount_paid: int
    amount_refunded: int
    attempt_count: int

    @property
    def past_due(self) -> int:
        """What is still owed after a payment has failed."""
        is_failed = self.status == "open" and self.attempt_count > 0
        return max(0, self.amount_due - self.amount_paid) if is_failed else 0


NOTHING = InvoiceContent("draft", "", 0, 0, 0, 0)


def invoice_entries(runs: Sequence[Run[InvoiceContent]]) -> list[Entry]:
    """Return what happened to revenue over the versions of an invoice.

    `past_due` is what is owed from then on, so it is negative where less is owed. Money that arrives for an
    invoice on which a payment had failed is collected, and recovered.
    """
    entries: list[Entry] = []
    before = NOTHING
    has_failed = False
    for run in runs:
        now = run.content
        has_failed = has_failed or now.past_due > 0 or (now.status == "paid" and now.attempt_count > 1)
        collected = now.amount_paid - before.amount_paid
        found: list[tuple[Kind, int]] = [
            ("collected", collected),
            ("refunded", now.amount_refunded - before.amount_refunded),
            ("past_due", now.past_due - before.past_due),
            ("recovered", collected if has_failed else 0),
        ]
        entries += [Entry(kind, run.at, now.currency, Fraction(amount)) for kind, amount in found if amount]
        before = now
    return entries
