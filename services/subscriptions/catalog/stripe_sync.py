"""Applying a catalog plan to Stripe's products and prices, without duplicates after a crash.

Adoptions are checked before anything is created, and everything is created before anything is archived: if
Stripe rejects something, what is sold stays as it was, and what was created is deactivated.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import stripe

from services.subscriptions.catalog.stripe_prices import (
    behavior_differences,
    behavior_parameters,
    money_differences,
    stripe_money,
)
from services.subscriptions.catalog.stripe_tax_rates import (
    creation_parameters,
    rate_differences,
    update_parameters,
)
from services.subscriptions.domain.catalog.diff import CatalogPlan, Planned
from tallystick.messages.catalog import CatalogProblem, Price, Product
from tallystick.messages.tax_rates import TaxRate

CALLS_AT_ONCE = 8
"""Stripe allows 25 calls a second in test mode; eight at a time are quick enough and stay below that."""
PRODUCT_METADATA = "tallystick_product"
PRICE_METADATA = "tallystick_price"
"""The metadata keys under which Stripe's objects carry our codes."""

IdempotencyKey = Callable[[str], str]
"""Returns a call's key for its label, the same on every run of the command."""


@dataclass(slots=True)
class SyncResult:
    """Stripe's ids of a plan's products, prices and tax rates, by code, and the problems found."""

    products: dict[str, str] = field(default_factory=dict)
    prices: dict[str, str] = field(default_factory=dict)
    tax_rates: dict[str, str] = field(default_factory=dict)
    problems: list[CatalogProblem] = field(default_factory=list)


async def sync_with_stripe(api: stripe.V1Services, plan: CatalogPlan, key: IdempotencyKey) -> SyncResult:
    """Apply a plan in Stripe.

    If the result has `problems`, Stripe rejected something and what is sold is unchanged. Raises Stripe's own
    errors if it cannot be reached or rejects our key.
    """
    sync = _CatalogSync(api, plan, key)
    phases = (
        (sync.check_tax_rate(step) for step in plan.tax_rates if step.adopt),
        (sync.check_product(step) for step in plan.products if step.adopt),
        (sync.check_price(step) for step in plan.prices if step.adopt),
        (
            sync.make_tax_rate(step)
            for step in plan.tax_rates
            if _is_missing(step, step.after.stripe_tax_rate_id)
        ),
        (
            sync.make_product(step)
            for step in plan.products
            if _is_missing(step, step.after.stripe_product_id)
        ),
        (sync.make_price(step) for step in plan.prices if _is_missing(step, step.after.stripe_price_id)),
        (
            sync.update_tax_rate(step)
            for step in plan.tax_rates
            if step.adopt or step.after.stripe_tax_rate_id
        ),
        (sync.update_product(step) for step in plan.products if step.adopt or step.after.stripe_product_id),
        (sync.update_price(step) for step in plan.prices if step.adopt or step.after.stripe_price_id),
    )
    for phase in phases:
        await _run_all(phase)
        if sync.found.problems:
            await _run_all(sync.undo())
            break
    return sync.found


def _is_missing(step: Planned[Product] | Planned[Price] | Planned[TaxRate], stripe_id: str | None) -> bool:
    is_free = isinstance(step.after, Price) and step.after.model == "free"
    return not (stripe_id or step.adopt or step.after.archived or is_free)


async def _run_all(calls: Iterable[Awaitable[None]]) -> None:
    """Wait for every call, even if one fails, so that everything created is known; then raise the error."""
    for result in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


class _CatalogSync:
    """One run of a plan against Stripe."""

    def __init__(self, api: stripe.V1Services, plan: CatalogPlan, key: IdempotencyKey) -> None:
        self._products = api.products
        self._prices = api.prices
        self._tax_rates = api.tax_rates
        self._plan = plan
        self._key = key
        self._gate = asyncio.Semaphore(CALLS_AT_ONCE)
        self.found = SyncResult()
        self._made: list[tuple[str, str]] = []

    async def check_tax_rate(self, step: Planned[TaxRate]) -> None:
        """Check that an adopted tax rate exists, and takes the same in the same way."""
        wanted, field_name = str(step.adopt), "stripe_tax_rate_id"
        found = await self._call(step.path, field_name, lambda: self._tax_rates.retrieve_async(wanted))
        if found is None:
            return
        if other := rate_differences(step.after, found.to_dict()):
            problem = f"{wanted} has another {', '.join(other)} in Stripe"
            self._add_problem(step.path, field_name, problem)
        self.found.tax_rates[step.after.code] = found.id

    async def make_tax_rate(self, step: Planned[TaxRate]) -> None:
        """Create the tax rate, active."""
        rate = step.after
        params: Any = creation_parameters(rate)
        options = self._idempotency_options("tax_rate", rate.code, "create")
        made = await self._call(step.path, "", lambda: self._tax_rates.create_async(params, options))
        if made is not None:
            self.found.tax_rates[rate.code] = made.id
            self._made.append(("tax_rate", rate.code))

    async def update_tax_rate(self, step: Planned[TaxRate]) -> None:
        """Update everything but what never changes; an archived tax rate is inactive."""
        rate = step.after
        params: Any = update_parameters(rate)
        options = self._idempotency_options("tax_rate", rate.code, "update")
        target = step.adopt or str(rate.stripe_tax_rate_id)
        await self._call(
            step.path,
            "",
            lambda: self._tax_rates.update_async(target, params, options),
            may_be_missing=rate.archived,
        )

    async def check_product(self, step: Planned[Product]) -> None:
        """Check that an adopted product exists."""
        wanted = str(step.adopt)
        found = await self._call(
            step.path, "stripe_product_id", lambda: self._products.retrieve_async(wanted)
        )
        if found is not None and getattr(found, "deleted", False):
            self._add_problem(step.path, "stripe_product_id", f"{wanted} was deleted in Stripe")
        elif found is not None:
            self.found.products[step.after.code] = found.id

    async def check_price(self, step: Planned[Price]) -> None:
        """Check that an adopted price exists, belongs to the product and charges the same."""
        wanted = str(step.adopt)
        found = await self._call(
            step.path,
            "stripe_price_id",
            lambda: self._prices.retrieve_async(wanted, {"expand": ["tiers"]}),
        )
        if found is None:
            return
        product_id = found.product if isinstance(found.product, str) else found.product.id
        if product_id != self._stripe_product(step.after.product):
            problem = f"{wanted} belongs to {product_id}; the product must name that as its stripe_product_id"
            self._add_problem(step.path, "stripe_price_id", problem)
        money = stripe_money(step.after, has_seats=step.after.product in self._plan.team_products)
        body = found.to_dict()
        other = money_differences(money, body) + behavior_differences(step.after, body)
        if other:
            self._add_problem(
                step.path, "stripe_price_id", f"{wanted} has another {', '.join(other)} in Stripe"
            )
        self.found.prices[step.after.code] = found.id

    async def make_product(self, step: Planned[Product]) -> None:
        """Create the product, active."""
        product = step.after
        params: Any = {"name": product.name, "metadata": {PRODUCT_METADATA: product.code}}
        if product.description:
            params["description"] = product.description
        made = await self._call(
            step.path,
            "",
            lambda: self._products.create_async(
                params, self._idempotency_options("product", product.code, "create")
            ),
        )
        if made is not None:
            self.found.products[product.code] = made.id
            self._made.append(("product", product.code))

    async def make_price(self, step: Planned[Price]) -> None:
        """Create the price, active; its code is its lookup key."""
        price = step.after
        money = stripe_money(price, has_seats=price.product in self._plan.team_products)
        params: Any = money.parameters() | behavior_parameters(price) | _price_naming(price)
        params["product"] = self._stripe_product(price.product)
        made = await self._call(
            step.path,
            "",
            lambda: self._prices.create_async(
                params, self._idempotency_options("price", price.code, "create")
            ),
        )
        if made is not None:
            self.found.prices[price.code] = made.id
            self._made.append(("price", price.code))

    async def update_product(self, step: Planned[Product]) -> None:
        """Update name, description and whether the product is active."""
        product = step.after
        params: Any = {
            "name": product.name,
            "description": product.description or "",
            "active": not product.archived,
            "metadata": {PRODUCT_METADATA: product.code},
        }
        target = step.adopt or str(product.stripe_product_id)
        await self._call(
            step.path,
            "",
            lambda: self._products.update_async(
                target, params, self._idempotency_options("product", product.code, "update")
            ),
            may_be_missing=product.archived,
        )

    async def update_price(self, step: Planned[Price]) -> None:
        """Update the lookup key and whether the price is active; its money never changes."""
        price = step.after
        params: Any = {"active": not price.archived} | behavior_parameters(price) | _price_naming(price)
        target = step.adopt or str(price.stripe_price_id)
        await self._call(
            step.path,
            "",
            lambda: self._prices.update_async(
                target, params, self._idempotency_options("price", price.code, "update")
            ),
            may_be_missing=price.archived,
        )

    def undo(self) -> Iterable[Awaitable[None]]:
        """Deactivate what this run created."""
        for kind, code in self._made:
            yield self._switch_off(kind, code)

    async def _switch_off(self, kind: str, code: str) -> None:
        options = self._idempotency_options(kind, code, "undo")
        off: Any = {"active": False}
        if kind == "product":
            made = self.found.products[code]
            await self._call("", "", lambda: self._products.update_async(made, off, options))
        elif kind == "tax_rate":
            made = self.found.tax_rates[code]
            await self._call("", "", lambda: self._tax_rates.update_async(made, off, options))
        else:
            made = self.found.prices[code]
            await self._call("", "", lambda: self._prices.update_async(made, off, options))

    async def _call(
        self,
        path: str,
        field_name: str,
        call: Callable[[], Awaitable[Any]],
        *,
        may_be_missing: bool = False,
    ) -> Any:
        """Return Stripe's response; None if the request was rejected, which adds a problem."""
        try:
            async with self._gate:
                return await call()
        except stripe.InvalidRequestError as refusal:
            if not (may_be_missing and refusal.code == "resource_missing"):
                self._add_problem(path, field_name, f"Stripe refuses it: {refusal.user_message or refusal}")
            return None

    def _add_problem(self, path: str, field_name: str, problem: str) -> None:
        self.found.problems.append(
            CatalogProblem(path=f"{path}.{field_name}" if field_name else path or "$", problem=problem)
        )

    def _stripe_product(self, code: str) -> str:
        return self.found.products.get(code) or self._plan.stripe_products.get(code, "")

    def _idempotency_options(self, kind: str, code: str, action: str) -> stripe.RequestOptions:
        return {"idempotency_key": self._key(f"{kind}:{code}:{action}")}


def _price_naming(price: Price) -> dict[str, Any]:
    # A lookup key that another Stripe price still has is transferred to this one.
    naming = {"lookup_key": price.code, "transfer_lookup_key": True}
    return {"metadata": {PRICE_METADATA: price.code}} | ({} if price.archived else naming)
