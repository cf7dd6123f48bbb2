"""The language of the catalog: features, products and prices, as a document says them and as they are told.

What a document says (`…Entry`) is strict, so that a typo cannot pass; what is told to others (`Feature`,
`Product`, `Price`) has every default filled in and may grow fields that older readers ignore.
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
    PositiveCount,
    Question,
    Strict,
    StripeId,
    Text,
    Told,
)

SERVICE = "subscriptions"
AMOUNT_MAX = 999_999_999_999
"""Twelve digits of minor units: the most that Stripe takes for a price."""
UNITS_MAX = 1_000_000_000_000
"""The most units one feature grants; times a million seats it still fits 64 bits."""
SEATS_MAX = 1_000_000
"""The most seats of one team; more is a typo."""
TIERS_MAX = 100
"""As many tiers as Stripe takes on one price."""
TRIAL_MAX_DAYS = 730
"""The longest trial that Stripe runs."""
FEATURES_MAX = 1_000
PRODUCTS_MAX = 1_000
PRICES_MAX = 100
"""Bounds of one document: far above any real catalog, and still applied in one transaction."""
PRODUCT_FEATURES_MAX = 200
DETAILS_MAX = 20

Name = Annotated[str, StringConstraints(min_length=1, max_length=250, pattern=r"\S")]
"""A name for people; Stripe takes 250 characters for a product's."""
MeterName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,100}$")]
"""The `event_name` of one of Stripe's meters, which takes 100 characters."""
Interval = Literal["day", "week", "month", "year"]
FeatureKind = Literal["flag", "limit", "consumable"]
ProductKind = Literal["plan", "add_on"]
SeatStrategy = Literal["per_team", "per_seat"]
OwnerSeat = Literal["free", "billed", "none"]
PriceModel = Literal["free", "flat", "per_seat", "volume", "graduated"]
CatalogAmount = Annotated[int, Field(ge=0, le=AMOUNT_MAX)]
"""A price's money, in the currency's minor unit; a catalog has no negative ones."""
Units = Annotated[int, Field(ge=0, le=UNITS_MAX)]
SeatCount = Annotated[int, Field(ge=1, le=SEATS_MAX)]
TrialDays = Annotated[int, Field(ge=0, le=TRIAL_MAX_DAYS)]


class Tier(Told):
    """One step of a `volume` or `graduated` price; it begins where the tier before ends."""

    up_to: PositiveCount | None = Field(description="The last quantity of this tier; null in the last one.")
    unit_amount: CatalogAmount = Field(default=0, description="For each unit, in minor units.")
    flat_amount: CatalogAmount = Field(default=0, description="Once, when the tier is reached; minor units.")


class SeatRule(Told):
    """What makes a product a team's: who holds its units, and how many seats may be bought."""

    strategy: SeatStrategy = Field(description="One pool for the team, or units for each claimed seat.")
    owner_seat: OwnerSeat = Field(
        default="free",
        description="Whether the payer has a seat on top, one of those bought, or none.",
    )
    minimum: SeatCount = Field(default=1, description="The fewest seats that can be bought.")
    maximum: SeatCount | None = Field(default=None, description="The most seats; null: no bound of its own.")


class ProductFeature(Told):
    """What a product gives of one feature, to whom and how often; defaults filled in."""

    feature: Code = Field(description="The feature's code.")
    quantity: Units | None = Field(description="Null: unlimited, and always so for flags.")
    every: Interval | None = Field(description="How often units are granted anew; null: once.")
    team_allowed: bool = Field(description="True: for the team's members; false: for the payer alone.")
    rollover: Units = Field(default=0, description="How many unused units are carried over at a renewal.")


class Feature(Told):
    """A feature as it stands: the snapshot in results and events."""

    feature_id: str
    version: PositiveCount
    code: Code
    name: str
    description: str | None
    kind: FeatureKind = Field(description="Yes or no; a ceiling on what exists; or units that are used up.")
    unit_price: Money | None = Field(description="What one recharged unit costs; consumables only.")
    meter: MeterName | None = Field(
        default=None, description="The meter in Stripe to which usage is reported; consumables only."
    )
    archived: bool = Field(description="No longer in the catalog; kept for what was sold with it.")


class Product(Told):
    """A product as it stands: the snapshot in results and events."""

    product_id: str
    version: PositiveCount
    code: Code
    name: str
    description: str | None
    kind: ProductKind
    seats: SeatRule | None = Field(description="Null: the product has no team.")
    features: list[ProductFeature]
    required_details: list[Code] = Field(description="What a buyer of an add-on must tell, such as a domain.")
    archived: bool = Field(description="No longer sold; running subscriptions keep it.")
    stripe_product_id: str | None = Field(description="Null where payments are not configured.")


class Price(Told):
    """A price as it stands: the snapshot in results and events. Its money never changes."""

    price_id: str
    version: PositiveCount
    code: Code = Field(description="Also the `lookup_key` of the price in Stripe.")
    product: Code = Field(description="The code of the product it sells.")
    model: PriceModel
    currency: Currency | None = Field(description="Null only where nothing is charged (`free`).")
    interval: Interval = Field(description="The length of a billing period.")
    unit_amount: CatalogAmount | None = Field(description="Minor units; null where `tiers` say it.")
    base_amount: CatalogAmount = Field(description="Once a period, on top of the units; minor units.")
    tiers: list[Tier] = Field(description="Empty unless the model is `volume` or `graduated`.")
    trial_days: TrialDays | None = Field(description="Null: the installation's default trial.")
    listed: bool = Field(description="Whether customers are shown it; otherwise it is sold by people.")
    archived: bool = Field(description="No longer sold; running subscriptions keep it.")
    stripe_price_id: str | None = Field(description="Null for `free`, and where payments are not configured.")


class TierEntry(Tier):
    """A tier as a document says it."""

    model_config = ConfigDict(extra="forbid")


class SeatRuleEntry(SeatRule):
    """A seat rule as a document says it."""

    model_config = ConfigDict(extra="forbid")


class FeatureEntry(Strict):
    """A feature as a document says it."""

    code: Code
    name: Name
    description: Text | None = None
    kind: FeatureKind
    unit_price: Money | None = Field(default=None, description="What one recharged unit costs.")
    meter: MeterName | None = Field(
        default=None, description="The `event_name` of a meter in Stripe that usage is reported to."
    )


class ProductFeatureEntry(Strict):
    """What a product gives of one feature, as a document says it."""

    feature: Code
    quantity: Units | None = Field(default=None, description="Null or absent: unlimited. Not for flags.")
    every: Interval | None = Field(default=None, description="Absent: granted once. Consumables only.")
    team_allowed: bool | None = Field(
        default=None,
        description="Absent: true on products with seats, false on others.",
    )
    rollover: Units = Field(default=0, description="Unused units carried over; consumables with `every`.")


class PriceEntry(Strict):
    """A price as a document says it."""

    code: Code
    model: PriceModel
    currency: Currency | None = Field(default=None, description="Required unless the model is `free`.")
    interval: Interval | None = Field(
        default=None,
        description="Required unless the model is `free`, where it is a month.",
    )
    unit_amount: CatalogAmount | None = Field(default=None, description="For `flat` and `per_seat`.")
    base_amount: CatalogAmount = Field(
        default=0,
        description="For `per_seat`, `volume` and `graduated`: once a period, on top.",
    )
    tiers: Annotated[list[TierEntry], Field(max_length=TIERS_MAX)] = Field(
        default=[],
        description="For `volume` and `graduated`: contiguous, only the last unbounded.",
    )
    trial_days: TrialDays | None = Field(
        default=None, description="0: no trial. Absent: the installation's default."
    )
    listed: bool = Field(default=True, description="False: not shown to customers, sold by people.")
    stripe_price_id: StripeId | None = Field(default=None, description="Adopts a price Stripe already has.")


class ProductEntry(Strict):
    """A product and its prices as a document says them."""

    code: Code
    name: Name
    description: Text | None = None
    kind: ProductKind
    seats: SeatRuleEntry | None = None
    features: Annotated[list[ProductFeatureEntry], Field(max_length=PRODUCT_FEATURES_MAX)] = Field(default=[])
    required_details: Annotated[list[Code], Field(max_length=DETAILS_MAX)] = Field(
        default=[],
        description="Add-ons only: what the buyer must tell, such as `domain_name`.",
    )
    prices: Annotated[list[PriceEntry], Field(max_length=PRICES_MAX)] = Field(default=[])
    stripe_product_id: StripeId | None = Field(default=None, description="Adopts a product of Stripe's.")


class CatalogDocument(Strict):
    """The whole catalog: what is not in it is archived."""

    features: Annotated[list[FeatureEntry], Field(max_length=FEATURES_MAX)] = Field(default=[])
    products: Annotated[list[ProductEntry], Field(max_length=PRODUCTS_MAX)]


class CatalogProblem(Told):
    """One thing that is wrong with a document."""

    path: str = Field(description="Where, such as `products[0].prices[1].tiers[2].unit_amount`.")
    problem: str = Field(description="What is wrong there.")


class CodeChanges(Told):
    """What applying a document did to one kind of thing, by code, in the document's order."""

    created: list[Code] = Field(default=[])
    updated: list[Code] = Field(default=[], description="Changed, or back in the catalog.")
    archived: list[Code] = Field(default=[])


class CatalogChanges(Told):
    """What applying a document did; all empty when it said nothing new."""

    products: CodeChanges = CodeChanges()
    prices: CodeChanges = CodeChanges()
    features: CodeChanges = CodeChanges()


class CatalogApplied(Told):
    """The result of `apply_catalog`."""

    changes: CatalogChanges


class ProductWithPrices(Product):
    """A product together with its prices."""

    prices: list[Price]


class Catalog(Told):
    """The catalog as it stands, in its document's order."""

    revision: Count = Field(description="Counts the documents that changed something; 0: none yet.")
    features: list[Feature]
    products: list[ProductWithPrices]


class CatalogFound(Told):
    """The answer to `get_catalog`."""

    catalog: Catalog


class _DocumentSchema:
    # The field takes any JSON, so that each problem is found at once; published schemas still say its form.
    @classmethod
    def __get_pydantic_json_schema__(cls, _: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(CatalogDocument.__pydantic_core_schema__)


def _refuse_unstorable(value: Any, path: str) -> None:
    # Not even a refusal of such a document could be stored: Postgres' JSON has no NUL, NaN or infinity.
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


def _storable(value: Any) -> Any:
    _refuse_unstorable(value, "")
    return value


AnyDocument = Annotated[JsonValue, AfterValidator(_storable), _DocumentSchema]
"""A document as somebody wrote it, right or wrong."""


class ApplyCatalog(
    Command[CatalogApplied],
    service=SERVICE,
    rejections=("invalid_catalog", "price_immutable"),
):
    """Make the catalog what a document says, all or nothing; what it leaves out is archived.

    `invalid_catalog`: `details` is a list of `{path, problem}`, every one that was found.
    `price_immutable`: `details` is a list of `{path, price, fields}`; different money needs a new code.
    """

    catalog: AnyDocument = Field(description="The document; see `CatalogDocument`.")


class GetCatalog(Question[CatalogFound], service=SERVICE):
    """The catalog as it stands."""

    include_archived: bool = Field(default=False, description="Also what is no longer sold.")


class FeatureEvent(Event, service=SERVICE, entity="feature", names=("created", "updated", "archived")):
    """A feature was created, changed (or came back), or left the catalog."""

    feature: Feature


class ProductEvent(Event, service=SERVICE, entity="product", names=("created", "updated", "archived")):
    """A product was created, changed (or came back), or left the catalog."""

    product: Product


class PriceEvent(Event, service=SERVICE, entity="price", names=("created", "updated", "archived")):
    """A price was created, changed (never its money), came back, or left the catalog."""

    price: Price
