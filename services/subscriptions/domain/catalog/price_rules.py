"""Validation of a price: the fields of its model, and tiers that cover every quantity once."""

from collections.abc import Iterator

from services.subscriptions.domain.catalog.document_walker import Node
from tallystick.messages.catalog import AMOUNT_MAX, INTERVAL_COUNT_MAX, CatalogProblem

TIERED = ("volume", "graduated")
_MONEY_FIELDS = {
    "free": (),
    "flat": ("unit_amount",),
    "per_seat": ("unit_amount", "base_amount"),
    "volume": ("tiers", "base_amount"),
    "graduated": ("tiers", "base_amount"),
}
"""The money fields of each model."""


def price_problems(price: Node) -> Iterator[CatalogProblem]:
    """Yield the problems of one price, apart from its codes."""
    model = price.text("model")
    if model not in _MONEY_FIELDS:
        return
    yield from _misplaced_money(price, model)
    yield from _length_problems(price)
    if model == "free":
        yield from _free_price_problems(price)
        return
    for field in ("currency", "interval"):
        if not price.has(field):
            yield price.problem(field, f"a price of model `{model}` needs it")
    if model in TIERED:
        yield from _tier_problems(price)
    elif not price.has("unit_amount"):
        yield price.problem("unit_amount", f"a price of model `{model}` needs it")


def _misplaced_money(price: Node, model: str) -> Iterator[CatalogProblem]:
    for field in ("unit_amount", "base_amount", "tiers"):
        if price.has(field) and field not in _MONEY_FIELDS[model] and not _is_default(price, field, model):
            yield price.problem(field, f"does not belong to a price of model `{model}`")


def _length_problems(price: Node) -> Iterator[CatalogProblem]:
    """Report a billing period above Stripe's limit of three years, or a count of no interval."""
    count, interval = price.number("interval_count"), price.text("interval")
    if count is None or count == 1:
        return
    if not price.has("interval"):
        yield price.problem("interval_count", "without `interval` there is nothing to count")
        return
    longest = {str(name): most for name, most in INTERVAL_COUNT_MAX.items()}.get(interval or "")
    if longest is not None and count > longest:
        yield price.problem(
            "interval_count",
            f"a billing period is at most three years, which is {longest} times a {interval}",
        )


def _is_default(price: Node, field: str, model: str) -> bool:
    """Whether the value is an explicit default, zero or an empty list: superfluous, but not wrong."""
    if field == "tiers":
        return price.is_empty_list("tiers")
    return price.number(field) == 0 and (model == "free" or field == "base_amount")


def _free_price_problems(price: Node) -> Iterator[CatalogProblem]:
    if price.number("trial_days"):
        yield price.problem("trial_days", "a free price has no trial: it never costs anything")
    if price.has("stripe_price_id"):
        yield price.problem("stripe_price_id", "a free price has no counterpart in Stripe")


def _tier_problems(price: Node) -> Iterator[CatalogProblem]:
    """Report tiers with a gap or an overlap, or whose last one is bounded."""
    tiers = list(price.each("tiers"))
    if not price.has("tiers") or price.is_empty_list("tiers"):
        yield price.problem("tiers", f"a price of model `{price.text('model')}` needs at least one")
    reached, reached_by = 0, 0
    for number, tier in enumerate(tiers, start=1):
        yield from _tier_money(price, tier, number)
        up_to, is_last = tier.number("up_to"), number == len(tiers)
        if tier.is_null("up_to") and not is_last:
            yield tier.problem(
                "up_to", f"tier {number} is unbounded but not the last: it hides those after it"
            )
        if up_to is None:
            continue
        if 0 < up_to <= reached:
            within = f"tier {reached_by}, which ends at {reached}"
            yield tier.problem("up_to", f"tier {number} ends at {up_to}, inside {within}: they overlap")
        if is_last:
            above = f"tier {number} is the last but ends at {up_to}"
            yield tier.problem("up_to", f"{above}: larger quantities fall into a gap; it must be null")
        if up_to > reached:
            reached, reached_by = up_to, number


def _tier_money(price: Node, tier: Node, number: int) -> Iterator[CatalogProblem]:
    if not tier.has("unit_amount") and not tier.has("flat_amount"):
        yield tier.problem(
            "unit_amount", f"tier {number} has no price: give unit_amount, flat_amount or both"
        )
    base, flat = price.number("base_amount") or 0, tier.number("flat_amount") or 0
    if max(base, flat) <= AMOUNT_MAX < base + flat:
        yield tier.problem("flat_amount", f"tier {number} with the base_amount is above {AMOUNT_MAX}")
