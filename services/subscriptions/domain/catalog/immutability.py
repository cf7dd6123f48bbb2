"""Fields that may not change after an entity was sold, above all a price's money."""

from collections.abc import Iterable, Iterator, Mapping

from services.subscriptions.domain.catalog.catalog_view import CatalogView
from services.subscriptions.domain.catalog.diff import DesiredCatalog, DesiredEntity, Entity
from services.subscriptions.domain.catalog.tax_rules import fixed_rate_changes
from tallystick.messages.base import TolerantModel
from tallystick.messages.catalog import CatalogProblem, Feature, Price, Product

MONEY_FIELDS = (
    "product",
    "model",
    "currency",
    "interval",
    "interval_count",
    "unit_amount",
    "base_amount",
    "tiers",
)
"""The fields that a customer agreed to when buying at a price; Stripe cannot change them either."""
FREE_FIELDS = ("product", "model", "interval", "interval_count")
"""The immutable fields of a free price, which has no money fields."""


class ImmutablePrice(TolerantModel):
    """A price whose immutable fields a document would change."""

    path: str
    price: str
    fields: list[str]


def immutable_field_changes(desired_all: DesiredCatalog, current: CatalogView) -> list[CatalogProblem]:
    """Return forbidden changes of features and products that are already sold."""
    problems: list[CatalogProblem] = []
    for feature in desired_all.features:
        problems += _feature_problems(feature, current.feature(feature.entity.code))
    for product in desired_all.products:
        problems += _product_problems(product, current.product(product.entity.code))
    for rate in desired_all.tax_rates:
        problems += fixed_rate_changes(rate.path, rate.entity, current.tax_rate(rate.entity.code))
    issuers = {item.stripe_tax_rate_id: item.code for item in current.tax_rates.values()}
    problems += _already_owned(desired_all.tax_rates, issuers, "stripe_tax_rate_id")
    owners = {item.stripe_product_id: item.code for item in current.products.values()}
    problems += _already_owned(desired_all.products, owners, "stripe_product_id")
    sellers = {item.stripe_price_id: item.code for item in current.prices.values()}
    problems += _already_owned(desired_all.prices, sellers, "stripe_price_id")
    return problems


def immutable_price_changes(desired_all: DesiredCatalog, current: CatalogView) -> list[ImmutablePrice]:
    """Return the prices whose money, product or Stripe object a document would change."""
    found = []
    for desired in desired_all.prices:
        before = current.price(desired.entity.code)
        fields = _changed_fields(desired, before) if before else []
        if fields:
            found.append(ImmutablePrice(path=desired.path, price=desired.entity.code, fields=fields))
    return found


def _changed_fields(desired: DesiredEntity[Price], before: Price) -> list[str]:
    after = desired.entity
    watched = FREE_FIELDS if after.model == before.model == "free" else MONEY_FIELDS
    fields = [field for field in watched if getattr(after, field) != getattr(before, field)]
    # Stripe accepts a behaviour for a price that has none, and never another one.
    if before.tax_behavior is not None and after.tax_behavior != before.tax_behavior:
        fields.append("tax_behavior")
    if desired.adopt and before.stripe_price_id and desired.adopt != before.stripe_price_id:
        fields.append("stripe_price_id")
    return fields


def _already_owned(
    desired_all: Iterable[DesiredEntity[Entity]], owners: Mapping[str | None, str], field: str
) -> Iterator[CatalogProblem]:
    for desired in desired_all:
        owner = owners.get(desired.adopt) if desired.adopt else None
        if owner is not None and owner != desired.entity.code:
            yield _problem(desired.path, field, f"{desired.adopt} already belongs to `{owner}`")


def _feature_problems(desired: DesiredEntity[Feature], before: Feature | None) -> Iterator[CatalogProblem]:
    if before and before.kind != desired.entity.kind:
        yield _problem(
            desired.path, "kind", f"was `{before.kind}` and is in use as such; a new kind needs a new code"
        )


def _product_problems(desired: DesiredEntity[Product], before: Product | None) -> Iterator[CatalogProblem]:
    if before is None:
        return
    after = desired.entity
    if before.kind != after.kind:
        yield _problem(
            desired.path, "kind", f"was `{before.kind}` and is sold as such; a new kind needs a new code"
        )
    if (before.seats is None) != (after.seats is None):
        change = "gain" if before.seats is None else "lose"
        yield _problem(
            desired.path, "seats", f"a product cannot {change} seats once it is sold; use a new code"
        )
    bound = before.stripe_product_id
    if desired.adopt and bound and desired.adopt != bound:
        yield _problem(desired.path, "stripe_product_id", f"the product already is {bound} in Stripe")


def _problem(path: str, field: str, problem: str) -> CatalogProblem:
    return CatalogProblem(path=f"{path}.{field}", problem=problem)
