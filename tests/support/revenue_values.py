"""Lives of subscriptions as the domain of monitoring sees them, and reports on them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

from services.monitoring.domain.history import Run, add_versions
from services.monitoring.domain.movements import Entry, movements, trials
from services.monitoring.domain.periods import Period
from services.monitoring.domain.prices import Item, PriceTerms
from services.monitoring.domain.revenue_report import Figure, Standing, Sums, report
from services.monitoring.domain.subscription_history import Content, NetShare, timeline
from tallystick.messages.catalog import Tier
from tallystick.messages.subscriptions import Status

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
PRICES = {
    "solo": PriceTerms("flat", "eur", "month", unit_amount=4900),
    "pro": PriceTerms("flat", "eur", "month", unit_amount=9900),
    "seats": PriceTerms("per_seat", "eur", "month", unit_amount=1000),
    "yearly": PriceTerms("flat", "eur", "year", unit_amount=10000),
    "quarterly": PriceTerms("flat", "eur", "month", interval_count=3, unit_amount=10000),
    "weekly": PriceTerms("flat", "eur", "week", unit_amount=300),
    "fortnightly": PriceTerms("flat", "eur", "week", interval_count=2, unit_amount=300),
    "daily": PriceTerms("flat", "eur", "day", unit_amount=100),
    "dollars": PriceTerms("flat", "usd", "month", unit_amount=5000),
    "yen": PriceTerms("flat", "jpy", "month", unit_amount=980),
    "dinar": PriceTerms("flat", "kwd", "year", unit_amount=12345),
    "free": PriceTerms("free", None, "month"),
    "volume": PriceTerms(
        "volume",
        "eur",
        "month",
        tiers=(Tier(up_to=10, unit_amount=1000), Tier(up_to=None, unit_amount=800)),
    ),
    "graduated": PriceTerms(
        "graduated",
        "eur",
        "month",
        tiers=(
            Tier(up_to=5, unit_amount=1000),
            Tier(up_to=10, unit_amount=800),
            Tier(up_to=None, unit_amount=500),
        ),
    ),
}


def on(day: float) -> datetime:
    """So many days after the beginning."""
    return BEGIN + timedelta(days=day)


@dataclass(slots=True)
class Life:
    """The versions of one subscription."""

    runs: list[Run[Content]] = field(default_factory=list)
    shares: list[NetShare] = field(default_factory=list)

    def invoiced(self, day: float, share: Fraction) -> "Life":
        """Tell what an invoice leaves of the list price."""
        self.shares.append(NetShare(on(day), share))
        return self

    def becomes(
        self,
        day: float,
        status: Status,
        price: str = "",
        quantity: int = 1,
        *,
        restricted: bool = False,
    ) -> "Life":
        """Add a version; without a price, the items stay."""
        last = self.runs[-1].content if self.runs else None
        items = last.items if last is not None and not price else (Item(price, quantity),)
        content = Content(status, restricted, items)
        version = len(self.runs) + 1
        self.runs.append(Run(version, version, on(day), content))
        return self


def entries_of(*lives: Life) -> list[Entry]:
    """Everything that the subscriptions of one customer did to revenue."""
    timelines = {
        f"sub_{number}": timeline(add_versions([], life.runs), PRICES, life.shares)
        for number, life in enumerate(lives)
    }
    return movements(timelines) + [entry for points in timelines.values() for entry in trials(points)]


def told(*lives: Life) -> list[tuple[str, int, Fraction | int]]:
    """The movements of one customer: kind, day and amount."""
    return [(entry.kind, (entry.at - BEGIN).days, entry.amount) for entry in entries_of(*lives)]


def reported(
    entries: Iterable[Entry], periods: Sequence[Period], currency: str = "eur"
) -> list[Mapping[str, Figure]]:
    """The report of each period in one currency."""
    found = [entry for entry in entries if entry.currency == currency]
    standing, reports = Standing(), []
    before = _sums(found, date.min, periods[0].start)
    standing = standing.after(before)
    for period in periods:
        sums = _sums(found, period.start, period.end)
        reports.append(report(standing, sums))
        standing = standing.after(sums)
    return reports


def _sums(entries: Iterable[Entry], start: date, end: date) -> Sums:
    sums = Sums()
    for entry in entries:
        if start <= entry.at.date() < end:
            sums.add(entry.kind, entry.amount, entry.customers)
    return sums
