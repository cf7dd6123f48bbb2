"""Products."""

from __future__ import annotations

from sandbox.stripe.account import Account, Json
from sandbox.stripe.faults import StripeFault, invalid
from sandbox.stripe.lists import page
from sandbox.stripe.parameters import LIST, anything, boolean, merge_metadata, metadata, one_of, text
from sandbox.stripe.routing import Route

_PLAIN = (
    "active", "description", "images", "marketing_features", "name", "package_dimensions", "shippable",
    "statement_descriptor", "tax_code", "unit_label", "url",
)  # fmt: skip


def create_product(account: Account, params: Json) -> Json:
    """Create a product; `id` may be chosen by the caller."""
    product_id = params.get("id") or account.new_id("prod")
    if account.peek("product", product_id) is not None:
        raise invalid("Product already exists.", "id", "resource_already_exists")
    now = account.now()
    product = account.insert(
        {
            "id": product_id,
            "object": "product",
            "active": True,
            "created": now,
            "default_price": None,
            "description": None,
            "images": [],
            "livemode": False,
            "marketing_features": [],
            "metadata": merge_metadata(None, params.get("metadata")),
            "name": None,
            "package_dimensions": None,
            "shippable": None,
            "statement_descriptor": None,
            "tax_code": None,
            "type": params.get("type") or "service",
            "unit_label": None,
            "updated": now,
            "url": None,
        }
    )
    product.update({name: params[name] for name in _PLAIN if params.get(name) is not None})
    account.emit("product.created", product)
    return product


def create(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/products`."""
    return create_product(account, params)


def retrieve(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/products/{id}`."""
    return account.get("product", ids["id"])


def update(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/products/{id}`."""
    product = account.refer("product", ids["id"], "id")
    changes = {name: params[name] for name in (*_PLAIN, "default_price") if name in params}
    if changes.get("default_price"):
        price = account.refer("price", changes["default_price"], "default_price")
        if price["product"] != product["id"]:
            raise invalid("The price specified is for another product.", "default_price")
    if "metadata" in params:
        changes["metadata"] = merge_metadata(product["metadata"], params["metadata"])
    if any(product[name] != value for name, value in changes.items()):
        account.change(product, "product.updated", **changes, updated=account.now())
    return product


def delete(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`DELETE /v1/products/{id}`: only without prices, as in Stripe; archive it otherwise."""
    product = account.refer("product", ids["id"], "id")
    if account.find("price", product=product["id"]):
        raise StripeFault("This product cannot be deleted because it has one or more user-created prices.")
    account.emit("product.deleted", product)
    gone = {"id": product["id"], "object": "product", "deleted": True}
    product.clear()
    product.update(gone)
    return product


def list_products(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/products`, by `active`, `ids`, `type`, `url`, `shippable`."""
    found = account.all("product")
    for name in ("active", "type", "url", "shippable"):
        if params.get(name) is not None:
            found = [product for product in found if product[name] == params[name]]
    if params.get("ids"):
        found = [product for product in found if product["id"] in params["ids"]]
    return page(found, params, "/v1/products")


_FIELDS = {
    "active": boolean,
    "description": text,
    "images": [text],
    "marketing_features": [{"name!": text}],
    "metadata": metadata,
    "package_dimensions": anything,
    "shippable": boolean,
    "statement_descriptor": text,
    "tax_code": text,
    "unit_label": text,
    "url": text,
}

ROUTES = [
    Route(
        "POST",
        "/v1/products",
        create,
        {
            **_FIELDS,
            "name!": text,
            "id": text,
            "type": one_of("good", "service"),
        },
    ),
    Route(
        "GET",
        "/v1/products",
        list_products,
        {**LIST, "active": boolean, "ids": [text], "type": text, "url": text, "shippable": boolean},
    ),
    Route("GET", "/v1/products/{id}", retrieve, {}),
    Route("POST", "/v1/products/{id}", update, {**_FIELDS, "name": text, "default_price": text}),
    Route("DELETE", "/v1/products/{id}", delete, {}),
]
