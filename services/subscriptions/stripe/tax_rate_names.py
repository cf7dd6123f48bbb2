"""Names and percentages of tax rates, kept in memory: what an invoice says of a rate never changes."""

from collections.abc import Awaitable, Callable, Iterable

from services.subscriptions.domain.invoice_taxes import TaxRateDetails, TaxRates

KEPT_MAX = 1_000
"""Tax rates kept in memory; Stripe Tax makes a few for each country."""


class TaxRateNames:
    """The tax rates that were fetched so far; `fetch` returns None for one that Stripe does not show."""

    def __init__(self, fetch: Callable[[str], Awaitable[TaxRateDetails | None]]) -> None:
        self._fetch = fetch
        self._kept: dict[str, TaxRateDetails] = {}

    def known(self, ids: Iterable[str]) -> TaxRates | None:
        """Return tax rates if all of them were fetched before."""
        wanted = set(ids)
        return {each: self._kept[each] for each in wanted} if wanted <= self._kept.keys() else None

    async def find(self, ids: Iterable[str]) -> TaxRates:
        """Return tax rates, without those that Stripe does not show."""
        found: dict[str, TaxRateDetails] = {}
        for rate_id in sorted(set(ids)):
            rate = self._kept.get(rate_id) or await self._fetch(rate_id)
            if rate is not None:
                found[rate_id] = rate
        if len(self._kept) > KEPT_MAX:
            self._kept.clear()
        self._kept |= found
        return found
