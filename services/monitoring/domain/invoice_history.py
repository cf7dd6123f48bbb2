"""What an invoice brought in, from version to version: collected, refunded, past due and recovered."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from services.monitoring.domain.history import Run
from services.monitoring.domain.movements import Entry, Kind
from services.monitoring.domain.subscription_history import NetShare
from tallystick.messages.subscriptions import InvoiceStatus


@dataclass(frozen=True, slots=True)
class InvoiceContent:
    """What counts of one version of an invoice; amounts in minor units."""

    status: InvoiceStatus
    currency: str
    amount_due: int
    amount_paid: int
    amount_refunded: int
    """Refunds and lost disputes."""
    attempt_count: int
    subscription_id: str | None = None
    net_share: Fraction | None = None
    """What is left of the lines of whole periods after discounts and without tax; none without such lines."""

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


def net_shares(invoices: Iterable[Sequence[Run[InvoiceContent]]], subscription_id: str) -> list[NetShare]:
    """Return the net shares that the invoices of a subscription tell, in the order of time."""
    told = [
        NetShare(run.at, run.content.net_share)
        for runs in invoices
        for run in runs
        if run.content.subscription_id == subscription_id and run.content.net_share is not None
    ]
    changes: list[NetShare] = []
    for each in sorted(told, key=lambda share: share.at):
        if not changes or changes[-1].share != each.share:
            changes.append(each)
    return changes
