"""The difference between the current catalog and a document.

Nothing is deleted: what the document leaves out is archived, and what comes back is restored.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Generic, Literal, TypeVar

from pydantic import Field

from services.subscriptions.domain.catalog.catalog_view import CatalogView
from services.subscriptions.domain.catalog.desired_state import (
    NewId,
    desired_feature,
    desired_price,
    desired_product,
)
from services.subscriptions.domain.catalog.tax_rules import desired_tax_rate
from tallystick.messages.base import TolerantModel
from tallystick.messages.catalog import (
    CatalogChanges,
    CatalogDocument,
    CodeChanges,
    Feature,
    Price,
    Product,
)
from tallystick.messages.tax_rates import TaxRate, TaxRateEntry

Entity = TypeVar("Entity", Feature, Product, Price, TaxRate)
Change = Literal["created", "updated", "archived"]


class Planned(TolerantModel, Generic[Entity]):
    """One entity that changes, in its new state."""

    change: Change
    after: Entity
    path: str = ""
    """Its path in the document; empty for an entity that the document leaves out."""
    adopt: str | None = None
    """The Stripe object that the document names for it, if it has none yet."""


class CatalogPlan(TolerantModel):
    """Everything that applying a document will change; the intent of the command."""

    features: list[Planned[Feature]]
    products: list[Planned[Product]]
    prices: list[Planned[Price]]
    tax_rates: list[Planned[TaxRate]] = Field(default=[])
    tax_rate_order: list[str] = Field(default=[])
    feature_order: list[str]
    product_order: list[str]
    price_order: list[str]
    in_stripe: bool
    """Whether products and prices are created in Stripe as well."""
    stripe_products: dict[str, str]
    """Stripe ids of the document's products that exist in Stripe already, by code."""
    team_products: list[str]
    """The codes of the document's products with seats."""

    @property
    def is_empty(self) -> bool:
        """Whether the document changes nothing."""
        return not (self.features or self.products or self.prices or self.tax_rates)

    @property
    def changes(self) -> CatalogChanges:
        """The plan as the command's result."""
        return CatalogChanges(
            features=_codes(self.features),
            products=_codes(self.products),
            prices=_codes(self.prices),
            tax_rates=_codes(self.tax_rates),
        )


def with_stripe_ids(
    plan: CatalogPlan,
    products: Mapping[str, str],
    prices: Mapping[str, str],
    tax_rates: Mapping[str, str] = MappingProxyType({}),
) -> CatalogPlan:
    """Return the plan with the Stripe ids of its products, prices and tax rates, given by code."""

    def tax_rate(step: Planned[TaxRate]) -> Planned[TaxRate]:
        found = tax_rates.get(step.after.code, step.after.stripe_tax_rate_id)
        return step.model_copy(update={"after": step.after.model_copy(update={"stripe_tax_rate_id": found})})

    def product(step: Planned[Product]) -> Planned[Product]:
        found = products.get(step.after.code, step.after.stripe_product_id)
        return step.model_copy(update={"after": step.after.model_copy(update={"stripe_product_id": found})})

    def price(step: Planned[Price]) -> Planned[Price]:
        found = prices.get(step.after.code, step.after.stripe_price_id)
        return step.model_copy(update={"after": step.after.model_copy(update={"stripe_price_id": found})})

    update = {
        "products": [product(step) for step in plan.products],
        "prices": [price(step) for step in plan.prices],
        "tax_rates": [tax_rate(step) for step in plan.tax_rates],
    }
    return plan.model_copy(update=update)


class DesiredEntity(TolerantModel, Generic[Entity]):
    """An entity as an entry of the document asks for it."""

    path: str
    entity: Entity
    adopt: str | None = None


class DesiredCatalog(TolerantModel):
    """Everything a document asks for, in its order."""

    features: list[DesiredEntity[Feature]]
    products: list[DesiredEntity[Product]]
    prices: list[DesiredEntity[Price]]
    tax_rates: list[DesiredEntity[TaxRate]]


def desired_catalog(document: CatalogDocument, current: CatalogView, new_id: NewId) -> DesiredCatalog:
    """Return what a valid document asks for, with the ids of existing entities."""
    rates = document.tax_rates
    desired_all = DesiredCatalog(
        features=[], products=[], prices=[], tax_rates=_desired_tax_rates(rates, current, new_id)
    )
    for number, feature in enumerate(document.features):
        desired_entity = desired_feature(feature, current.feature(feature.code), new_id, rates)
        desired_all.features.append(DesiredEntity[Feature](path=f"features[{number}]", entity=desired_entity))
    for number, product in enumerate(document.products):
        path = f"products[{number}]"
        sold = desired_product(product, current.product(product.code), new_id)
        desired_all.products.append(
            DesiredEntity[Product](path=path, entity=sold, adopt=product.stripe_product_id)
        )
        for index, entry in enumerate(product.prices):
            price = desired_price(entry, product.code, current.price(entry.code), new_id, rates)
            desired = DesiredEntity[Price](
                path=f"{path}.prices[{index}]", entity=price, adopt=entry.stripe_price_id
            )
            desired_all.prices.append(desired)
    return desired_all


def _desired_tax_rates(
    entries: Sequence[TaxRateEntry], current: CatalogView, new_id: NewId
) -> list[DesiredEntity[TaxRate]]:
    return [
        DesiredEntity[TaxRate](
            path=f"tax_rates[{number}]",
            entity=desired_tax_rate(entry, current.tax_rate(entry.code), new_id("taxrate")),
            adopt=entry.stripe_tax_rate_id,
        )
        for number, entry in enumerate(entries)
    ]


def plan_changes(desired_all: DesiredCatalog, current: CatalogView, *, in_stripe: bool) -> CatalogPlan:
    """Return the difference between the desired and the current catalog.

    With `in_stripe`, products and prices without a Stripe object count as changed: one is created for them.
    """

    def lacks_product(product: Product) -> bool:
        return in_stripe and product.stripe_product_id is None

    def lacks_price(price: Price) -> bool:
        return in_stripe and price.stripe_price_id is None and price.model != "free"

    def lacks_tax_rate(rate: TaxRate) -> bool:
        return in_stripe and rate.stripe_tax_rate_id is None

    sold = [desired.entity for desired in desired_all.products]
    return CatalogPlan(
        features=[
            Planned[Feature](**step)
            for step in _difference(desired_all.features, current.features, lambda _: False)
        ],
        products=[
            Planned[Product](**step)
            for step in _difference(desired_all.products, current.products, lacks_product)
        ],
        prices=[
            Planned[Price](**step) for step in _difference(desired_all.prices, current.prices, lacks_price)
        ],
        tax_rates=[
            Planned[TaxRate](**step)
            for step in _difference(desired_all.tax_rates, current.tax_rates, lacks_tax_rate)
        ],
        tax_rate_order=[desired.entity.code for desired in desired_all.tax_rates],
        feature_order=[desired.entity.code for desired in desired_all.features],
        product_order=[item.code for item in sold],
        price_order=[desired.entity.code for desired in desired_all.prices],
        in_stripe=in_stripe,
        stripe_products={item.code: item.stripe_product_id for item in sold if item.stripe_product_id},
        team_products=[item.code for item in sold if item.seats],
    )


def _difference(
    desired_all: Sequence[DesiredEntity[Entity]],
    current: Mapping[str, Entity],
    lacks_stripe_object: Callable[[Entity], bool],
) -> Iterator[dict[str, Any]]:
    """Yield the fields of each change; entities that the document leaves out come last."""
    for desired in desired_all:
        after, before, lacking = (
            desired.entity,
            current.get(desired.entity.code),
            lacks_stripe_object(desired.entity),
        )
        adopt = desired.adopt if lacking else None
        if before is None:
            yield {"change": "created", "after": after, "path": desired.path, "adopt": adopt}
        elif after != before or lacking:
            yield {"change": "updated", "after": _next_version(after), "path": desired.path, "adopt": adopt}
    desired_entity = {desired.entity.code for desired in desired_all}
    for code, before in current.items():
        if code not in desired_entity and not before.archived:
            yield {"change": "archived", "after": _next_version(before).model_copy(update={"archived": True})}


def _next_version(entity: Entity) -> Entity:
    return entity.model_copy(update={"version": entity.version + 1})


def _codes(planned: Iterable[Planned[Entity]]) -> CodeChanges:
    codes: dict[Change, list[str]] = {"created": [], "updated": [], "archived": []}
    for entry in planned:
        codes[entry.change].append(entry.after.code)
    return CodeChanges(**codes)
