"""Limits and field types of the catalog."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tallystick.messages.base import Code
from tallystick.messages.tax_rates import TAX_RATES_PER_PRICE_MAX

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
