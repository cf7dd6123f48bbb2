"""What a customer paid, from the histories of their invoices and their recharges."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date

from services.monitoring.domain.invoice_history import invoice_entries
from services.monitoring.domain.periods import Period, days_of, periods
from services.monitoring.revenue.histories import SELECT_OWNED, read_histories
from services.monitoring.service import service
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import monitoring as m

SELECT_RECHARGES = """
    SELECT at, currency, amount FROM monitoring.known_recharges WHERE customer = %s AND status = 'paid'
"""


@dataclass(frozen=True, slots=True)
class _Payment:
    day: date
    currency: str
    paid: int = 0
    refunded: int = 0
    recharges: int = 0


@service.question(m.GetSpending)
async def get_spending(work: UnitOfWork, question: m.GetSpending) -> m.Spending:
    """Return what a customer paid by period and currency, oldest first."""
    payments = await _payments(work, question.customer.token)
    first, end = days_of(question.since, question.until)
    return m.Spending(
        items=[
            item
            for period in periods(first, end, question.by)
            for item in _items(period, [each for each in payments if period.start <= each.day < period.end])
        ]
    )


async def _payments(work: UnitOfWork, customer: str) -> list[_Payment]:
    cursor = await work.driver.execute(SELECT_OWNED, ([customer],))
    invoices = read_histories([customer], await cursor.fetchall())[customer].invoices
    entries = [entry for runs in invoices.values() for entry in invoice_entries(runs)]
    payments = [
        _Payment(
            entry.at.astimezone(UTC).date(),
            entry.currency,
            paid=int(entry.amount) if entry.kind == "collected" else 0,
            refunded=int(entry.amount) if entry.kind == "refunded" else 0,
        )
        for entry in entries
        if entry.kind in ("collected", "refunded")
    ]
    cursor = await work.driver.execute(SELECT_RECHARGES, (customer,))
    return payments + [
        _Payment(at.astimezone(UTC).date(), currency, recharges=amount)
        for at, currency, amount in await cursor.fetchall()
    ]


def _items(period: Period, payments: Iterable[_Payment]) -> Iterable[m.SpendingPeriod]:
    by_currency: dict[str, list[_Payment]] = defaultdict(list)
    for payment in payments:
        by_currency[payment.currency].append(payment)
    for currency, found in sorted(by_currency.items()):
        paid, refunded = sum(each.paid for each in found), sum(each.refunded for each in found)
        yield m.SpendingPeriod(
            start=period.start,
            end=period.end,
            currency=currency,
            paid=paid,
            refunded=refunded,
            net=paid - refunded,
            recharges=sum(each.recharges for each in found),
            invoices=sum(each.paid > 0 for each in found),
        )
