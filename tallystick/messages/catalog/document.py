"""The applied document; its models (`…Entry`) reject unknown fields, so that typos are reported."""

from typing import Annotated

from pydantic import ConfigDict, Field

from tallystick.messages.base import (
    Code,
    Currency,
    Money,
    PositiveCount,
    Strict,
    StripeId,
    Text,
)
from tallystick.messages.catalog.snapshots import Delivery, FlatFee, LicenseRule, SeatRule, SellerTerms, Tier
from tallystick.messages.catalog.types import (
    DETAILS_MAX,
    FEATURES_MAX,
    PRICES_MAX,
    PRODUCT_FEATURES_MAX,
    PRODUCTS_MAX,
    TIERS_MAX,
    CatalogAmount,
    FeatureKind,
    Interval,
    IntervalCount,
    MeterName,
    Name,
    PriceModel,
    ProductKind,
    TaxRateCodes,
    TrialDays,
    Units,
)
from tallystick.messages.tax_rates import TAX_RATES_MAX, TaxBehavior, TaxRateEntry


class TierEntry(Tier):
    """Price tier in a catalog document."""

    model_config = ConfigDict(extra="forbid")


class SeatRuleEntry(SeatRule):
    """Seat settings in a catalog document."""

    model_config = ConfigDict(extra="forbid")


class LicenseRuleEntry(LicenseRule):
    """License settings in a catalog document."""

    model_config = ConfigDict(extra="forbid")


class FlatFeeEntry(FlatFee):
    """Fixed fee in a catalog document."""

    model_config = ConfigDict(extra="forbid")


class DeliveryEntry(Delivery):
    """What a flag delivers, in a catalog document."""

    model_config = ConfigDict(extra="forbid")


class SellerTermsEntry(SellerTerms):
    """Seller of a product in a catalog document."""

    model_config = ConfigDict(extra="forbid")

    fee: FlatFeeEntry | None = None


class OverageEntry(Strict):
    """Price of the units that are used beyond the included ones, in a catalog document."""

    unit_price: Money = Field(description="Price of one unit beyond the included ones.")
    cap: PositiveCount | Money | None = Field(
        default=None,
        description="Most that may be owed for an account and billing period, in units or as an amount.",
    )


class FeatureEntry(Strict):
    """Feature in a catalog document."""

    code: Code
    name: Name
    description: Text | None = None
    kind: FeatureKind
    unit_price: Money | None = Field(default=None, description="Price of one recharged unit.")
    meter: MeterName | None = Field(
        default=None, description="`event_name` of the Stripe meter to which usage is reported."
    )
    delivers: DeliveryEntry | None = Field(
        default=None, description="Benefit that the feature delivers, a `url` or a `text`; flags only."
    )
    tax_behavior: TaxBehavior | None = Field(
        default=None, description="Whether `unit_price` includes tax, for Stripe Tax."
    )
    tax_rates: TaxRateCodes | None = Field(
        default=None, description="Tax rates of recharges; absent: the default ones."
    )
    overage: OverageEntry | None = Field(
        default=None,
        description="Units beyond the included ones are owed at this price instead of refused; only for "
        "consumables.",
    )


class ProductFeatureEntry(Strict):
    """Feature that a product includes, in a catalog document."""

    feature: Code
    quantity: Units | None = Field(
        default=None, description="Units included; null or absent: unlimited. Not for flags."
    )
    every: Interval | None = Field(
        default=None,
        description="Interval at which units are granted again; absent: granted once. Consumables only.",
    )
    team_allowed: bool | None = Field(
        default=None,
        description="Available to the team's members; default: true for products with seats.",
    )
    rollover: Units = Field(
        default=0,
        description="Maximum of unused units carried over; only for consumables with `every`.",
    )


class PriceEntry(Strict):
    """Price in a catalog document."""

    code: Code
    model: PriceModel
    currency: Currency | None = Field(
        default=None, description="Lower-case ISO 4217 code; required unless the model is `free`."
    )
    interval: Interval | None = Field(
        default=None,
        description="Unit of the billing period; required unless the model is `free` (a month).",
    )
    interval_count: IntervalCount = Field(
        default=1,
        description="Number of intervals in a billing period; every 3 months: 3. At most three years.",
    )
    unit_amount: CatalogAmount | None = Field(
        default=None, description="Price per unit, for `flat` and `per_seat`."
    )
    base_amount: CatalogAmount = Field(
        default=0,
        description="Flat amount per period, for `per_seat`, `volume` and `graduated`.",
    )
    tiers: Annotated[list[TierEntry], Field(max_length=TIERS_MAX)] = Field(
        default=[],
        description="Contiguous tiers for `volume` and `graduated`; only the last one has no `up_to`.",
    )
    trial_days: TrialDays | None = Field(
        default=None, description="Trial days; 0: no trial. Absent: the installation's default."
    )
    listed: bool = Field(default=True, description="False: not shown to customers; sold by staff only.")
    tax_behavior: TaxBehavior | None = Field(
        default=None,
        description="Whether the amounts include tax; can be added later, but never changed.",
    )
    tax_rates: TaxRateCodes | None = Field(
        default=None, description="Tax rates; absent: the default ones; an empty list: none."
    )
    stripe_price_id: StripeId | None = Field(default=None, description="Existing Stripe price to use.")


class ProductEntry(Strict):
    """Product with its prices, in a catalog document."""

    code: Code
    name: Name
    description: Text | None = None
    kind: ProductKind
    seats: SeatRuleEntry | None = None
    features: Annotated[list[ProductFeatureEntry], Field(max_length=PRODUCT_FEATURES_MAX)] = Field(default=[])
    required_details: Annotated[list[Code], Field(max_length=DETAILS_MAX)] = Field(
        default=[],
        description="Details that the buyer must provide, such as `domain_name`; add-ons only.",
    )
    prices: Annotated[list[PriceEntry], Field(max_length=PRICES_MAX)] = Field(default=[])
    stripe_product_id: StripeId | None = Field(default=None, description="Existing Stripe product to use.")
    license: LicenseRuleEntry | None = Field(
        default=None, description="Gives each subscription a license for machines of the customer."
    )
    seller: SellerTermsEntry | None = Field(
        default=None, description="Who is owed a share of what the product sells for."
    )


class CatalogDocument(Strict):
    """Complete catalog; what it does not contain is archived."""

    tax_rates: Annotated[list[TaxRateEntry], Field(max_length=TAX_RATES_MAX)] = Field(default=[])
    features: Annotated[list[FeatureEntry], Field(max_length=FEATURES_MAX)] = Field(default=[])
    products: Annotated[list[ProductEntry], Field(max_length=PRODUCTS_MAX)]
