"""Messages of the catalog: features, products and prices.

Models of the applied document (`…Entry`) reject unknown fields, so that typos are reported. The snapshots
(`Feature`, `Product`, `Price`) have all defaults filled in, and later versions may add fields.
"""

import math
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    JsonValue,
    StringConstraints,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from tallystick.messages.base import (
    INT64_MAX,
    Code,
    Command,
    Count,
    Currency,
    Event,
    Money,
    Organization,
    PositiveCount,
    Question,
    Strict,
    StripeId,
    Text,
    TolerantModel,
)
from tallystick.messages.tax_rates import (
    TAX_RATES_MAX,
    TAX_RATES_PER_PRICE_MAX,
    TaxBehavior,
    TaxRate,
    TaxRateEntry,
)

SERVICE = "subscriptions"
AMOUNT_MAX = 999_999_999_999
"""Stripe's limit for a price: twelve digits of minor units."""
UNITS_MAX = 1_000_000_000_000
"""Limit of units per feature; multiplied by a million seats it still fits 64 bits."""
SEATS_MAX = 1_000_000
"""Limit of seats per team."""
INSTANCES_MAX = 1_000
"""Limit of machines per license; every snapshot of a license lists them."""
LICENSE_MAX_DAYS = 366
TIERS_MAX = 100
"""Stripe's limit of tiers per price."""
TRIAL_MAX_DAYS = 730
"""Stripe's longest trial."""
FEATURES_MAX = 1_000
PRODUCTS_MAX = 1_000
PRICES_MAX = 100
"""Limits of one document: far above real catalogs, and still applied in one transaction."""
PRODUCT_FEATURES_MAX = 200
DETAILS_MAX = 20

Name = Annotated[str, StringConstraints(min_length=1, max_length=250, pattern=r"\S")]
"""Display name; Stripe's limit for a product name is 250 characters."""
MeterName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,100}$")]
"""`event_name` of a Stripe meter; Stripe's limit is 100 characters."""
DeliveryUrl = Annotated[
    str, StringConstraints(min_length=1, max_length=2_000, pattern=r"^https?://[^\s/?#]+[^\s#]*$")
]
"""Address of a benefit, without a fragment: the token is added to its query."""
Interval = Literal["day", "week", "month", "year"]
INTERVAL_COUNT_MAX: dict[Interval, int] = {"day": 1_095, "week": 156, "month": 36, "year": 3}
"""Stripe's limit for the length of a billing period, three years, in each interval."""
IntervalCount = Annotated[int, Field(ge=1, le=max(INTERVAL_COUNT_MAX.values()))]
"""Number of intervals in a billing period: 3 for a price every three months."""
FeatureKind = Literal["flag", "limit", "consumable"]
ProductKind = Literal["plan", "add_on"]
SeatStrategy = Literal["per_team", "per_seat"]
OwnerSeat = Literal["free", "billed", "none"]
PriceModel = Literal["free", "flat", "per_seat", "volume", "graduated"]
CatalogAmount = Annotated[int, Field(ge=0, le=AMOUNT_MAX)]
"""Amount of a price in the currency's minor unit; never negative."""
Units = Annotated[int, Field(ge=0, le=UNITS_MAX)]
SeatCount = Annotated[int, Field(ge=1, le=SEATS_MAX)]
SharePercent = Annotated[int, Field(ge=0, le=100)]
TaxRateCodes = Annotated[list[Code], Field(max_length=TAX_RATES_PER_PRICE_MAX)]
TrialDays = Annotated[int, Field(ge=0, le=TRIAL_MAX_DAYS)]
InstanceCount = Annotated[int, Field(ge=1, le=INSTANCES_MAX)]
GraceDays = Annotated[int, Field(ge=0, le=LICENSE_MAX_DAYS)]
OfflineDays = Annotated[int, Field(ge=1, le=LICENSE_MAX_DAYS)]


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


class CatalogProblem(TolerantModel):
    """Problem in a catalog document."""

    path: str = Field(description="Path of the value, such as `products[0].prices[1].tiers[2].unit_amount`.")
    problem: str = Field(description="Description of the problem.")


class CodeChanges(TolerantModel):
    """Codes that applying a document created, updated or archived, in the document's order."""

    created: list[Code] = Field(default=[])
    updated: list[Code] = Field(default=[], description="Changed, or restored to the catalog.")
    archived: list[Code] = Field(default=[])


class CatalogChanges(TolerantModel):
    """Changes made by applying a document; all empty when nothing changed."""

    products: CodeChanges = CodeChanges()
    prices: CodeChanges = CodeChanges()
    features: CodeChanges = CodeChanges()
    tax_rates: CodeChanges = CodeChanges()


class CatalogApplied(TolerantModel):
    """Result of `apply_catalog`."""

    changes: CatalogChanges


class ProductWithPrices(Product):
    """Product with its prices."""

    prices: list[Price]


class Catalog(TolerantModel):
    """Current catalog, in the order of its document."""

    revision: Count = Field(description="Number of applied documents that changed the catalog; 0: none yet.")
    features: list[Feature]
    products: list[ProductWithPrices]
    tax_rates: list[TaxRate] = Field(default=[])


class CatalogFound(TolerantModel):
    """Answer to `get_catalog`."""

    catalog: Catalog


class _DocumentSchema:
    # The field accepts any JSON, so that all problems are reported at once; published schemas show the form.
    @classmethod
    def __get_pydantic_json_schema__(cls, _: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(CatalogDocument.__pydantic_core_schema__)


def _refuse_unstorable(value: Any, path: str) -> None:
    # A rejection of such a document could not be stored either: Postgres' JSON has no NUL, NaN or infinity.
    match value:
        case str() if "\x00" in value:
            raise ValueError(f"{path or 'it'} must not contain NUL characters")
        case float() if not math.isfinite(value):
            raise ValueError(f"{path or 'it'} must not be infinite or NaN")
        case int() if abs(value) > INT64_MAX:
            raise ValueError(f"{path or 'it'} must fit into 64 bits")
        case list():
            for index, item in enumerate(value):
                _refuse_unstorable(item, f"{path}[{index}]")
        case dict():
            for key, item in value.items():
                _refuse_unstorable(key, path)
                _refuse_unstorable(item, f"{path}.{key}" if path else key)


def _check_storable(value: Any) -> Any:
    _refuse_unstorable(value, "")
    return value


AnyDocument = Annotated[JsonValue, AfterValidator(_check_storable), _DocumentSchema]
"""Catalog document before validation."""


class ApplyCatalog(
    Command[CatalogApplied],
    service=SERVICE,
    rejections=("invalid_catalog", "price_immutable"),
):
    """Replace the catalog with a document, all or nothing; what the document leaves out is archived.

    `invalid_catalog`: `details` lists every problem as `{path, problem}`. `price_immutable`: `details` lists
    `{path, price, fields}`; a different amount needs a new price code.
    """

    catalog: AnyDocument = Field(description="Catalog document; see `CatalogDocument`.")


class GetCatalog(Question[CatalogFound], service=SERVICE):
    """Get the current catalog."""

    include_archived: bool = Field(
        default=False, description="Include archived features, products and prices."
    )


class FeatureEvent(Event, service=SERVICE, entity="feature", names=("created", "updated", "archived")):
    """A feature was created, updated (or restored), or archived."""

    feature: Feature


class ProductEvent(Event, service=SERVICE, entity="product", names=("created", "updated", "archived")):
    """A product was created, updated (or restored), or archived."""

    product: Product


class PriceEvent(Event, service=SERVICE, entity="price", names=("created", "updated", "archived")):
    """A price was created, updated (never its amounts), restored, or archived."""

    price: Price
