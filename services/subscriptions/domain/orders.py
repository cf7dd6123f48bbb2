"""Rules for an order: valid prices, quantities and trials, and no plan twice."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from services.subscriptions.domain.add_ons import exclusive_key
from services.subscriptions.domain.billing_periods import billing_interval
from services.subscriptions.domain.catalog_lookup import CatalogLookup
from services.subscriptions.domain.rule_violation import RuleViolation
from services.subscriptions.domain.subscription_state import State
from tallystick.messages.catalog import SEATS_MAX, Price, Product
from tallystick.messages.subscriptions import ItemToBuy


@dataclass(frozen=True, slots=True)
class Line:
    """A price and a quantity, checked against the catalog."""

    price: Price
    product: Product
    quantity: int


def order_lines(catalog: CatalogLookup, items: Iterable[ItemToBuy], *, free: bool) -> list[Line]:
    """Return the checked lines of an order of free prices (`free`), or of paid prices.

    Raises RuleViolation `unknown_price`, `quantity_out_of_range` and `add_on_details_required`, and
    `invalid_message` for prices that one subscription cannot combine.
    """
    lines = [_line(catalog, item, free=free) for item in items]
    first = lines[0].price
    for line in lines[1:]:
        if line.price.currency != first.currency or billing_interval(line.price) != billing_interval(first):
            raise RuleViolation(
                "invalid_message",
                "All prices of one subscription share a currency and an interval.",
                prices=[first.code, line.price.code],
            )
    _check_plan_combination(lines)
    return lines


def _check_plan_combination(lines: Sequence[Line]) -> None:
    """Reject the same plan twice, and two plans with seats: a subscription has one team."""
    plans = [line for line in lines if line.product.kind == "plan"]
    for first, second in combinations(plans, 2):
        have_teams = first.product.seats is not None and second.product.seats is not None
        if have_teams or first.product.code == second.product.code:
            raise RuleViolation(
                "invalid_message",
                "One subscription has a plan at one of its prices, and one plan with seats.",
                prices=[first.price.code, second.price.code],
            )


def require_listed_prices(lines: Iterable[Line]) -> None:
    """Raise RuleViolation `unknown_price` for an unlisted price, which customers cannot buy themselves."""
    for line in lines:
        if not line.price.listed:
            raise RuleViolation(
                "unknown_price",
                f"{line.price.code!r} is sold by people, not at checkout.",
                price=line.price.code,
            )


def trial_days(
    lines: Sequence[Line], default_days: int | None, *, wanted: bool | None, is_first: bool
) -> int:
    """Return the trial's length in days, 0 for none: the price's own, else the installation's default.

    Unless a trial is `wanted` explicitly, only a customer's first subscription to a product has one.
    """
    if wanted is False or (wanted is None and not is_first):
        return 0
    offered = [line.price.trial_days for line in lines if line.price.trial_days is not None]
    return max(offered) if offered else default_days or 0


def exclusive_codes(catalog: CatalogLookup, lines: Iterable[Line]) -> list[str]:
    """Return the codes of the products in an order of which a customer can have only one.

    These are all plans, and the add-ons of which a second one would add nothing.
    """
    return sorted({line.product.code for line in lines if _is_exclusive(catalog, line)})


def find_subscription_with_plan(
    plans: Iterable[str], subscriptions: Iterable[tuple[str, State]]
) -> str | None:
    """Return the id of a subscription that has not ended and holds one of the plans."""
    wanted = set(plans)
    held = (found for found, state in subscriptions if not state.is_final and state.products & wanted)
    return next(held, None)


def _is_exclusive(catalog: CatalogLookup, line: Line) -> bool:
    return line.product.kind == "plan" or exclusive_key(catalog, line.price, {}) is not None


def _line(catalog: CatalogLookup, item: ItemToBuy, *, free: bool) -> Line:
    price = catalog.price(item.price)
    if price is None or price.archived:
        raise RuleViolation(
            "unknown_price", f"The catalog sells nothing at {item.price!r}.", price=item.price
        )
    if free and price.model != "free":
        raise RuleViolation(
            "unknown_price", f"{price.code!r} is not free. Use start_checkout.", price=price.code
        )
    if not free and price.model == "free":
        raise RuleViolation(
            "unknown_price", f"{price.code!r} is free. Use create_subscription.", price=price.code
        )
    product = catalog.product_of(price)
    if product.required_details:
        raise RuleViolation(
            "add_on_details_required",
            f"{product.name} asks for details. Use purchase_add_on.",
            price=price.code,
            missing=list(product.required_details),
        )
    minimum, maximum = quantity_bounds(price, product)
    quantity = item.quantity if item.quantity is not None else minimum
    if not minimum <= quantity <= maximum:
        raise RuleViolation(
            "quantity_out_of_range",
            f"{price.code!r} is sold from {minimum} to {maximum} at a time.",
            price=price.code,
            quantity=quantity,
            minimum=minimum,
            maximum=maximum,
        )
    return Line(price, product, quantity)


def quantity_bounds(price: Price, product: Product) -> tuple[int, int]:
    """Return the smallest and the largest quantity that can be bought at a price."""
    if product.seats is not None:
        return product.seats.minimum, product.seats.maximum or SEATS_MAX
    # A flat or free price without seats is always bought once.
    return 1, 1 if price.model in ("flat", "free") else SEATS_MAX
