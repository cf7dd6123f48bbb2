"""The snapshots that a document's entries ask for, with every default filled in.

An entity that exists keeps its id, version and Stripe object, so that an unchanged entry gives an equal
snapshot.
"""

from collections.abc import Callable, Iterable

from services.subscriptions.domain.catalog.price_rules import TIERED
from services.subscriptions.domain.catalog.tax_rules import applied_rates
from tallystick.messages.catalog import (
    Delivery,
    Feature,
    FeatureEntry,
    Interval,
    LicenseRule,
    Overage,
    Price,
    PriceEntry,
    Product,
    ProductEntry,
    ProductFeature,
    ProductFeatureEntry,
    SeatRule,
    SellerTerms,
    Tier,
)
from tallystick.messages.tax_rates import TaxRateEntry

FREE_INTERVAL: Interval = "month"
"""The period of a free price that names none; its units can be granted in it or more often."""

NewId = Callable[[str], str]
"""Creates a new id with a prefix."""


def desired_feature(
    entry: FeatureEntry, before: Feature | None, new_id: NewId, tax_rates: Iterable[TaxRateEntry] = ()
) -> Feature:
    """Return the feature that an entry asks for."""
    return Feature(
        feature_id=before.feature_id if before else new_id("feature"),
        version=before.version if before else 1,
        code=entry.code,
        name=entry.name,
        description=entry.description,
        kind=entry.kind,
        unit_price=entry.unit_price,
        meter=entry.meter,
        delivers=Delivery(**dict(entry.delivers)) if entry.delivers else None,
        tax_behavior=entry.tax_behavior,
        tax_rates=applied_rates(entry.tax_rates, tax_rates) if entry.unit_price or entry.overage else [],
        overage=Overage(**dict(entry.overage)) if entry.overage else None,
        archived=False,
    )


def desired_product(entry: ProductEntry, before: Product | None, new_id: NewId) -> Product:
    """Return the product that an entry asks for, without its prices."""
    return Product(
        product_id=before.product_id if before else new_id("product"),
        version=before.version if before else 1,
        code=entry.code,
        name=entry.name,
        description=entry.description,
        kind=entry.kind,
        seats=SeatRule(**dict(entry.seats)) if entry.seats else None,
        features=[
            _product_feature(grant, team_by_default=entry.seats is not None) for grant in entry.features
        ],
        required_details=entry.required_details,
        archived=False,
        stripe_product_id=before.stripe_product_id if before else None,
        license=LicenseRule(**dict(entry.license)) if entry.license else None,
        seller=SellerTerms.model_validate(entry.seller.model_dump()) if entry.seller else None,
    )


def desired_price(
    entry: PriceEntry,
    product: str,
    before: Price | None,
    new_id: NewId,
    tax_rates: Iterable[TaxRateEntry] = (),
) -> Price:
    """Return the price that an entry asks for."""
    return Price(
        price_id=before.price_id if before else new_id("price"),
        version=before.version if before else 1,
        code=entry.code,
        product=product,
        model=entry.model,
        currency=entry.currency,
        interval=entry.interval or FREE_INTERVAL,
        interval_count=entry.interval_count,
        unit_amount=entry.unit_amount if entry.model in ("flat", "per_seat") else None,
        base_amount=entry.base_amount,
        tiers=[Tier(**dict(tier)) for tier in entry.tiers] if entry.model in TIERED else [],
        trial_days=0 if entry.model == "free" else entry.trial_days,
        listed=entry.listed,
        tax_behavior=entry.tax_behavior,
        tax_rates=[] if entry.model == "free" else applied_rates(entry.tax_rates, tax_rates),
        archived=False,
        stripe_price_id=before.stripe_price_id if before else None,
    )


def _product_feature(entry: ProductFeatureEntry, *, team_by_default: bool) -> ProductFeature:
    return ProductFeature(
        feature=entry.feature,
        quantity=entry.quantity,
        every=entry.every,
        team_allowed=team_by_default if entry.team_allowed is None else entry.team_allowed,
        rollover=entry.rollover,
    )
