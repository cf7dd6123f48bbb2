"""Rules for the tax rates of a catalog: what a document may say of them, and what applies to a price."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

from services.subscriptions.domain.catalog.document_walker import Node
from tallystick.messages.catalog import CatalogProblem
from tallystick.messages.tax_rates import TaxRate, TaxRateEntry

FIXED_FIELDS = ("percentage", "inclusive")
"""The fields of a tax rate that Stripe cannot change either: old invoices refer to it."""


def tax_problems(rates: Sequence[Node], taxed: Iterable[Node]) -> Iterator[CatalogProblem]:
    """Yield the problems of tax rates and of the prices and features (`taxed`) that name them."""
    included = {rate.text("code"): bool(rate.truth("inclusive")) for rate in reversed(rates)}
    defaults = [rate for rate in rates if rate.truth("default")]
    for rate in defaults[1:]:
        if bool(rate.truth("inclusive")) != bool(defaults[0].truth("inclusive")):
            yield rate.problem(
                "default", f"{defaults[0].path} is one too, and only one is included in prices"
            )
    by_default = [code for rate in defaults if (code := rate.text("code")) is not None]
    for node in taxed:
        yield from _taxed_problems(node, included, by_default)


def applied_rates(named: list[str] | None, rates: Iterable[TaxRateEntry]) -> list[str]:
    """Return the codes of the rates that apply: those named, or else the default ones."""
    return [rate.code for rate in rates if rate.default] if named is None else named


def desired_tax_rate(entry: TaxRateEntry, before: TaxRate | None, tax_rate_id: str) -> TaxRate:
    """Return the tax rate that an entry asks for; one that exists keeps its id and Stripe object."""
    return TaxRate(
        tax_rate_id=before.tax_rate_id if before else tax_rate_id,
        version=before.version if before else 1,
        code=entry.code,
        display_name=entry.display_name,
        description=entry.description,
        percentage=percentage_text(entry.percentage),
        inclusive=entry.inclusive,
        country=entry.country,
        state=entry.state,
        jurisdiction=entry.jurisdiction,
        tax_type=entry.tax_type,
        default=entry.default,
        archived=False,
        stripe_tax_rate_id=before.stripe_tax_rate_id if before else None,
    )


def percentage_text(percentage: float) -> str:
    """Return a percentage as text: `19`, `8.875`."""
    return format(Decimal(str(percentage)).normalize(), "f")


def fixed_rate_changes(path: str, after: TaxRate, before: TaxRate | None) -> Iterator[CatalogProblem]:
    """Yield the forbidden changes of a tax rate that is already on invoices."""
    for field in FIXED_FIELDS if before is not None else ():
        was, now = getattr(before, field), getattr(after, field)
        if was != now:
            problem = f"was {str(was).lower()} and is on invoices; a new one needs a new code"
            yield CatalogProblem(path=f"{path}.{field}", problem=problem)


def _costs_nothing(node: Node) -> bool:
    """Return whether a price is free, or a feature has no price of its units, included or beyond."""
    is_feature = node.has("kind")
    return node.text("model") == "free" or (
        is_feature and not node.has("unit_price") and not node.has("overage")
    )


def _taxed_problems(
    node: Node, included: Mapping[str | None, bool], by_default: list[str]
) -> Iterator[CatalogProblem]:
    named = node.entries("tax_rates")
    if _costs_nothing(node):
        for field in ("tax_behavior", "tax_rates"):
            if node.has(field) and not node.is_empty_list(field):
                yield node.problem(field, "what costs nothing is not taxed")
        return
    for index, code in enumerate(named):
        if isinstance(code, str) and code not in included:
            yield node.problem(f"tax_rates[{index}]", f"there is no tax rate `{code[:64]}` in this document")
        if code in named[:index]:
            yield node.problem(f"tax_rates[{index}]", f"`{str(code)[:64]}` is named twice")
    known = [code for code in (named if node.has("tax_rates") else by_default) if code in included]
    ways = {included[str(code)] for code in known}
    if len(ways) > 1:
        yield node.problem("tax_rates", "are in part included in the price; Stripe allows one way")
    wanted = {"inclusive": True, "exclusive": False}.get(node.text("tax_behavior") or "")
    if wanted is not None and ways and ways != {wanted}:
        said, way = node.text("tax_behavior"), "added to" if wanted else "included in"
        yield node.problem("tax_behavior", f"is `{said}`, but its tax rates are {way} the price")
