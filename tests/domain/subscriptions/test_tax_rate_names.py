"""Tax rates are fetched once; one that Stripe does not show is asked for again."""

from services.subscriptions.domain.invoice_taxes import TaxRateDetails
from services.subscriptions.stripe.tax_rate_names import TaxRateNames

VAT = TaxRateDetails("VAT", "20", "AT")


async def test_a_rate_is_fetched_once_and_a_missing_one_each_time() -> None:
    asked: list[str] = []

    async def fetch(rate_id: str) -> TaxRateDetails | None:
        asked.append(rate_id)
        return VAT if rate_id == "txr_at" else None

    names = TaxRateNames(fetch)
    assert names.known(["txr_at"]) is None
    for _ in range(2):
        assert await names.find(["txr_at", "txr_gone", "txr_at"]) == {"txr_at": VAT}
    assert asked == ["txr_at", "txr_gone", "txr_gone"]
    assert (names.known(["txr_at"]), names.known([])) == ({"txr_at": VAT}, {})
    assert names.known(["txr_at", "txr_gone"]) is None
