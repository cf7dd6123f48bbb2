"""Snapshots of features, products and prices, with all defaults filled in; later versions may add fields."""

from pydantic import Field

from tallystick.messages.base import (
    Code,
    Currency,
    Money,
    Organization,
    PositiveCount,
    Text,
    TolerantModel,
)
from tallystick.messages.catalog.types import (
    CatalogAmount,
    DeliveryUrl,
    FeatureKind,
    GraceDays,
    InstanceCount,
    Interval,
    MeterName,
    Name,
    OfflineDays,
    OwnerSeat,
    PriceModel,
    ProductKind,
    SeatCount,
    SeatStrategy,
    SharePercent,
    TrialDays,
    Units,
)
from tallystick.messages.tax_rates import TaxBehavior


class Tier(TolerantModel):
    """Tier of a `volume` or `graduated` price; it begins after the previous tier."""

    up_to: PositiveCount | None = Field(description="Last quantity in this tier; null in the last tier.")
    unit_amount: CatalogAmount = Field(default=0, description="Price per unit, in minor units.")
    flat_amount: CatalogAmount = Field(
        default=0, description="Flat amount once the tier is reached, in minor units."
    )


class SeatRule(TolerantModel):
    """Seat settings of a product with a team: unit strategy and number of seats."""

    strategy: SeatStrategy = Field(
        description="`per_team`: one pool of units for the team. `per_seat`: units per claimed seat."
    )
    owner_seat: OwnerSeat = Field(
        default="free",
        description="Owner's seat: on top of the bought seats (`free`), one of them (`billed`), or none.",
    )
    minimum: SeatCount = Field(default=1, description="Minimum number of seats.")
    maximum: SeatCount | None = Field(default=None, description="Maximum number of seats; null: no limit.")


class LicenseRule(TolerantModel):
    """License settings of a product that runs on machines of the customer."""

    instances: InstanceCount = Field(default=1, description="Machines that may be activated at a time.")
    grace_days: GraceDays = Field(
        default=14, description="Days for which the product still runs after its license file has ended."
    )
    offline_days: OfflineDays = Field(
        default=30, description="Days for which a license file is valid without a refresh."
    )


class FlatFee(TolerantModel):
    """Fixed amount that the platform keeps."""

    amount: CatalogAmount = Field(description="Amount in the currency's minor unit.")
    currency: Currency


class SellerTerms(TolerantModel):
    """Who sells a product, and what they are owed of each paid invoice's lines of it."""

    customer: Organization = Field(description="The seller.")
    share_percent: SharePercent = Field(
        description="Share of the net amount, without tax and after discounts, rounded down."
    )
    fee: FlatFee | None = Field(
        default=None,
        description="Fee taken from the share of each paid invoice in this currency, such as the fee of the "
        "card payment; a refund does not return it.",
    )


class ProductFeature(TolerantModel):
    """Feature that a product includes, with defaults filled in."""

    feature: Code = Field(description="Feature code.")
    quantity: Units | None = Field(description="Units included; null: unlimited. Always null for flags.")
    every: Interval | None = Field(
        description="Interval at which units are granted again; null: granted once."
    )
    team_allowed: bool = Field(description="True: available to the team's members; false: to the owner only.")
    rollover: Units = Field(
        default=0, description="Maximum number of unused units carried over at a renewal."
    )


class Delivery(TolerantModel):
    """What a flag delivers to whoever has it: a page or file at a URL, or a text."""

    label: Name = Field(description="Name of the benefit, such as `Course videos`.")
    url: DeliveryUrl | None = Field(
        default=None, description="Opened with a signed token in its query; null: a text is delivered."
    )
    text: Text | None = Field(
        default=None, description="Shown as it is. Whoever reads the catalog can read it, too."
    )


class Overage(TolerantModel):
    """Price of the units that are used beyond the included ones, which are owed instead of refused."""

    unit_price: Money = Field(description="Price of one unit beyond the included ones.")
    cap: PositiveCount | Money | None = Field(
        default=None,
        description="Most that may be owed for an account and billing period, in units or as an amount, "
        "beyond which units are refused; null: no cap.",
    )


class Feature(TolerantModel):
    """Snapshot of a feature."""

    feature_id: str
    version: PositiveCount
    code: Code
    name: str
    description: str | None
    kind: FeatureKind = Field(
        description="`flag`: on or off. `limit`: a cap on units in use. `consumable`: units that are used up."
    )
    unit_price: Money | None = Field(description="Price of one recharged unit; consumables only.")
    meter: MeterName | None = Field(
        default=None, description="Stripe meter to which usage is reported; consumables only."
    )
    delivers: Delivery | None = Field(
        default=None, description="The benefit that the feature delivers; flags only."
    )
    tax_behavior: TaxBehavior | None = Field(
        default=None, description="Whether `unit_price` includes tax; null: Stripe's default."
    )
    tax_rates: list[Code] = Field(default=[], description="Tax rates of recharges.")
    overage: Overage | None = Field(
        default=None, description="Price of units beyond the included ones; null: they are refused."
    )
    archived: bool = Field(description="No longer in the catalog; kept for existing subscriptions.")


class Product(TolerantModel):
    """Snapshot of a product."""

    product_id: str
    version: PositiveCount
    code: Code
    name: str
    description: str | None
    kind: ProductKind
    seats: SeatRule | None = Field(description="Seat settings; null: the product has no team.")
    features: list[ProductFeature]
    required_details: list[Code] = Field(
        description="Details that the buyer of an add-on must provide, such as a domain."
    )
    archived: bool = Field(description="No longer sold; existing subscriptions keep it.")
    stripe_product_id: str | None = Field(
        description="Stripe product id; null if payments are not configured."
    )
    license: LicenseRule | None = Field(
        default=None, description="License settings; null: the product needs no license."
    )
    seller: SellerTerms | None = Field(
        default=None, description="Who is owed a share; null: the platform's own."
    )


class Price(TolerantModel):
    """Snapshot of a price. Its amounts never change."""

    price_id: str
    version: PositiveCount
    code: Code = Field(description="Price code; also the `lookup_key` of the Stripe price.")
    product: Code = Field(description="Code of the product.")
    model: PriceModel
    currency: Currency | None = Field(description="Lower-case ISO 4217 code; null only for `free`.")
    interval: Interval = Field(description="Unit of the billing period.")
    interval_count: PositiveCount = Field(
        default=1, description="Number of intervals in a billing period; every 3 months: 3."
    )
    unit_amount: CatalogAmount | None = Field(
        description="Price per unit in minor units; null when `tiers` define it."
    )
    base_amount: CatalogAmount = Field(
        description="Flat amount per period in addition to the units, in minor units."
    )
    tiers: list[Tier] = Field(description="Price tiers; empty unless the model is `volume` or `graduated`.")
    trial_days: TrialDays | None = Field(description="Trial days; null: the installation's default.")
    listed: bool = Field(
        description="Whether the price is shown to customers; otherwise it is sold by staff only."
    )
    tax_behavior: TaxBehavior | None = Field(
        default=None, description="Whether the amounts include tax; null: not said, so Stripe's default."
    )
    tax_rates: list[Code] = Field(
        default=[], description="Tax rates that apply, unless Stripe Tax computes the tax."
    )
    archived: bool = Field(description="No longer sold; existing subscriptions keep it.")
    stripe_price_id: str | None = Field(
        description="Stripe price id; null for `free`, and if payments are not configured."
    )
