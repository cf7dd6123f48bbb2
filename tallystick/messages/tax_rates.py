"""Tax rates of the catalog, for prices that are taxed without Stripe Tax."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from tallystick.messages.base import Code, Event, PositiveCount, Strict, StripeId, Text, TolerantModel

SERVICE = "subscriptions"
TAX_RATES_MAX = 200
"""Limit of one document: every country of the world, nearly."""
TAX_RATES_PER_PRICE_MAX = 5
"""Stripe's limit of tax rates per line of an invoice."""
PERCENTAGE_PLACES = 4
"""Stripe's limit of decimal places of a percentage."""

TaxBehavior = Literal["exclusive", "inclusive"]
"""Whether tax is added to a price, or is part of it."""
CountryCode = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
"""ISO 3166 code of a country, in capitals."""
ShortText = Annotated[Text, StringConstraints(min_length=1, max_length=50, pattern=r"\S")]


def _check_places(percentage: float) -> float:
    if round(percentage, PERCENTAGE_PLACES) != percentage:
        raise ValueError(f"must have at most {PERCENTAGE_PLACES} decimal places")
    return percentage


Percentage = Annotated[float, Field(ge=0, le=100), AfterValidator(_check_places)]


class TaxRate(TolerantModel):
    """Snapshot of a tax rate. Its percentage never changes, nor whether prices include it."""

    tax_rate_id: str
    version: PositiveCount
    code: Code
    display_name: str = Field(description="Name on invoices, such as `VAT`.")
    description: str | None = Field(description="Not shown to customers.")
    percentage: str = Field(description="Rate in percent, such as `19` or `8.875`.")
    inclusive: bool = Field(description="Whether prices include the tax, instead of it being added.")
    country: str | None = Field(description="ISO 3166 code of the country that levies it.")
    state: str | None = Field(description="ISO 3166-2 code of the state, without the country.")
    jurisdiction: str | None = Field(description="Name of the place on invoices, such as `DE`.")
    tax_type: str | None = Field(description="Stripe's type of the tax, such as `vat` or `sales_tax`.")
    default: bool = Field(description="Applies to all prices, recharges and charges that name no rates.")
    archived: bool = Field(description="No longer in the catalog; kept for existing subscriptions.")
    stripe_tax_rate_id: str | None = Field(
        description="Stripe tax rate id; null if payments are not configured."
    )


class TaxRateEntry(Strict):
    """Tax rate in a catalog document."""

    code: Code
    display_name: ShortText = Field(description="Name on invoices, such as `VAT`.")
    description: Text | None = None
    percentage: Percentage = Field(description="Rate in percent, with at most four decimal places.")
    inclusive: bool = Field(
        default=False, description="True: prices include the tax; false: it is added to them."
    )
    country: CountryCode | None = None
    state: ShortText | None = None
    jurisdiction: ShortText | None = None
    tax_type: ShortText | None = Field(default=None, description="Stripe's type, such as `vat`.")
    default: bool = Field(
        default=False, description="Applies to all prices, recharges and charges that name no `tax_rates`."
    )
    stripe_tax_rate_id: StripeId | None = Field(default=None, description="Existing Stripe tax rate to use.")


class TaxRateEvent(Event, service=SERVICE, entity="tax_rate", names=("created", "updated", "archived")):
    """A tax rate was created, updated (never its percentage), restored, or archived."""

    tax_rate: TaxRate
