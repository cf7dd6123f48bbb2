"""Reading Stripe's invoices with the names of their tax rates, of which an invoice has only the ids."""

from services.subscriptions.domain.catalog_lookup import CatalogLookup
from services.subscriptions.domain.invoice_taxes import rates_of_catalog, tax_rate_ids
from services.subscriptions.domain.invoices import Invoice, read_invoice
from services.subscriptions.domain.stripe_objects import Json
from services.subscriptions.stripe.client import StripeGateway


def unknown_tax_rates(body: Json, catalog: CatalogLookup) -> set[str]:
    """Return the ids of an invoice's tax rates that are not in the catalog: Stripe Tax makes its own."""
    return tax_rate_ids(body) - rates_of_catalog(body, catalog).keys()


async def read_taxed_invoice(gateway: StripeGateway, body: Json, catalog: CatalogLookup) -> Invoice:
    """Read an invoice; tax rates that are not in the catalog are fetched. Raises Malformed."""
    rates = await gateway.tax_rates.find(unknown_tax_rates(body, catalog))
    return read_invoice(body, catalog, rates)
