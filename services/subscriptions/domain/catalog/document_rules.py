"""Validation of a document beyond its structure; every problem is reported, not only the first.

Codes are unique, references exist, and fields are consistent.
"""

from collections.abc import Iterator

from services.subscriptions.domain.catalog.document_walker import Node
from services.subscriptions.domain.catalog.price_rules import price_problems
from services.subscriptions.domain.catalog.tax_rules import tax_problems
from tallystick.messages.catalog import CatalogProblem


def rule_problems(document: object) -> list[CatalogProblem]:
    """Return the problems of a document that its structure alone does not show."""
    root = Node(document)
    features, products = list(root.each("features")), list(root.each("products"))
    prices = [price for product in products for price in product.each("prices")]
    tax_rates = list(root.each("tax_rates"))
    # Of a duplicate code, the first entry counts for the other rules.
    kinds = {feature.text("code"): feature.text("kind") for feature in reversed(features)}
    return [
        *_used_twice(features, "code"),
        *_used_twice(products, "code"),
        *_used_twice(products, "stripe_product_id"),
        *_used_twice(prices, "code"),
        *_used_twice(prices, "stripe_price_id"),
        *_used_twice(tax_rates, "code"),
        *_used_twice(tax_rates, "stripe_tax_rate_id"),
        *tax_problems(tax_rates, [*features, *prices]),
        *(problem for feature in features for problem in _feature_problems(feature)),
        *(problem for product in products for problem in _product_problems(product, kinds)),
        *(problem for price in prices for problem in price_problems(price)),
    ]


def _used_twice(nodes: list[Node], field: str) -> Iterator[CatalogProblem]:
    first: dict[str, str] = {}
    for node in nodes:
        value = node.text(field)
        if value is None:
            continue
        if value in first:
            yield node.problem(field, f"`{value[:64]}` is already at {first[value]}")
        first.setdefault(value, node.at(field))


def _feature_problems(feature: Node) -> Iterator[CatalogProblem]:
    if feature.has("unit_price") and feature.text("kind") in ("flag", "limit"):
        yield feature.problem("unit_price", "only consumables are recharged, so only they have a price")
    if feature.has("meter") and feature.text("kind") in ("flag", "limit"):
        yield feature.problem("meter", "only consumables are used up, so only their usage is reported")
    yield from _delivery_problems(feature)
    yield from _overage_problems(feature)
    price = feature.child("unit_price")
    if price is not None and (amount := price.number("amount")) is not None and amount < 1:
        yield price.problem(
            "amount", "must be at least 1: units that cost nothing would be recharged forever"
        )


def _overage_problems(feature: Node) -> Iterator[CatalogProblem]:
    overage = feature.child("overage")
    if overage is None:
        return
    if feature.text("kind") in ("flag", "limit"):
        yield feature.problem("overage", "only consumables are used up, so only they can be used beyond that")
    price, cap = overage.child("unit_price"), overage.child("cap")
    amount = price.number("amount") if price is not None else None
    if price is not None and amount is not None and amount < 1:
        yield price.problem("amount", "must be at least 1: include more units if they cost nothing")
    if price is None or cap is None:
        return
    if cap.text("currency") not in (None, price.text("currency")):
        yield cap.problem("currency", "must be that of the unit_price")
    most = cap.number("amount")
    if most is not None and amount is not None and most < amount:
        yield cap.problem("amount", "must be at least the price of one unit")


def _delivery_problems(feature: Node) -> Iterator[CatalogProblem]:
    delivery = feature.child("delivers")
    if delivery is None:
        return
    if feature.text("kind") in ("limit", "consumable"):
        yield feature.problem("delivers", "only flags deliver a benefit: a customer has them or not")
    if delivery.has("url") == delivery.has("text"):
        yield feature.problem("delivers", "must have either a `url` or a `text`")


def _product_problems(product: Node, kinds: dict[str | None, str | None]) -> Iterator[CatalogProblem]:
    seats = product.child("seats")
    if product.text("kind") == "add_on" and seats is not None:
        yield product.problem("seats", "an add-on has no team; only plans have seats")
    if product.text("kind") == "plan" and (details := product.entries("required_details")):
        yield product.problem(
            "required_details", f"only add-ons ask for details, this plan asks for {len(details)}"
        )
    if seats is not None:
        low, high = seats.number("minimum") or 1, seats.number("maximum")
        if high is not None and high < low:
            yield seats.problem("maximum", f"{high} is less than the minimum of {low}")
    yield from _repeated_details(product)
    granted: dict[tuple[object, ...], str] = {}
    for grant in product.each("features"):
        yield from _grant_problems(grant, kinds, has_seats=seats is not None)
        yield from _granted_twice(grant, granted, kinds, has_seats=seats is not None)


def _repeated_details(product: Node) -> Iterator[CatalogProblem]:
    details = product.entries("required_details")
    for index, detail in enumerate(details):
        if isinstance(detail, str) and detail in details[:index]:
            yield product.problem(f"required_details[{index}]", f"`{detail[:64]}` is asked for twice")


def _grant_problems(
    grant: Node, kinds: dict[str | None, str | None], *, has_seats: bool
) -> Iterator[CatalogProblem]:
    code = grant.text("feature")
    if code is not None and code not in kinds:
        yield grant.problem("feature", f"there is no feature `{code[:64]}` in this document")
    if grant.truth("team_allowed") and not has_seats:
        yield grant.problem("team_allowed", "the product has no seats, so there is no team to give it to")
    kind = kinds.get(code)
    if kind == "flag" and grant.has("quantity"):
        yield grant.problem("quantity", f"`{code}` is a flag: a customer has it or not")
    if kind in ("flag", "limit") and grant.has("every"):
        yield grant.problem("every", f"`{code}` is a {kind}: only consumables are granted anew")
    if grant.number("rollover"):
        yield from _rollover_problems(grant, kind)


def _rollover_problems(grant: Node, kind: str | None) -> Iterator[CatalogProblem]:
    if kind != "consumable":
        yield grant.problem("rollover", "only consumables are carried over")
    elif not grant.has("every"):
        yield grant.problem("rollover", "without `every` there is no renewal to carry units over")
    elif not grant.has("quantity"):
        yield grant.problem("rollover", "an unlimited quantity leaves nothing to carry over")


def _granted_twice(
    grant: Node,
    granted: dict[tuple[object, ...], str],
    kinds: dict[str | None, str | None],
    *,
    has_seats: bool,
) -> Iterator[CatalogProblem]:
    """Report a feature that is listed twice for the same holder and, if consumable, the same interval."""
    code, team = grant.text("feature"), grant.truth("team_allowed")
    if code is None:
        return
    rhythm = grant.text("every") if kinds.get(code) == "consumable" else None
    key = (code, has_seats if team is None else team, rhythm)
    if key in granted:
        yield grant.problem("feature", f"`{code[:64]}` is already given to the same holder at {granted[key]}")
    granted.setdefault(key, grant.path)
