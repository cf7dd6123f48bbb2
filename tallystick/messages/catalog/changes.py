"""Applying a document, the present catalog, and the events of its entities."""

import math
from typing import Annotated, Any

from pydantic import AfterValidator, Field, GetJsonSchemaHandler, JsonValue
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from tallystick.messages.base import (
    INT64_MAX,
    Code,
    Command,
    Count,
    Event,
    Question,
    TolerantModel,
)
from tallystick.messages.catalog.document import CatalogDocument
from tallystick.messages.catalog.snapshots import Feature, Price, Product
from tallystick.messages.catalog.types import SERVICE
from tallystick.messages.tax_rates import TaxRate


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
