"""Calls to Stripe that change a subscription, schedule a change, or preview its cost."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import stripe
from pydantic import BaseModel, ConfigDict, Field

from services.subscriptions.domain.stripe_objects import (
    Json,
    StripeItem,
    StripeSubscription,
    read_subscription,
)
from services.subscriptions.domain.tax_settings import AUTOMATIC
from services.subscriptions.stripe.client import StripeGateway, stripe_rejections
from services.subscriptions.stripe.taxes import changed_rates
from shared.errors import Rejected, Unavailable
from tallystick.messages.catalog import Interval
from tallystick.messages.subscriptions import Proration

_BEHAVIORS: dict[Proration, str] = {
    "prorate": "create_prorations",
    "invoice": "always_invoice",
    "none": "none",
}


class ItemChange(BaseModel):
    """Another price or quantity for one item, with Stripe's price ids."""

    model_config = ConfigDict(frozen=True)

    before: str
    """The item's present price id."""
    after: str
    quantity: int
    interval: Interval
    interval_count: int = 1
    tax_rates: list[str] | None = None
    """Stripe's ids of the new price's tax rates; None if the catalog has no tax rates."""
    known_tax_rates: list[str] = Field(default=[])
    """Those of all tax rates that the catalog has or had."""


async def change_now(
    gateway: StripeGateway,
    present: StripeSubscription,
    change: ItemChange,
    proration: Proration,
    key: str,
    *,
    at: datetime | None = None,
) -> StripeSubscription:
    """Change an item at once, prorated from `at` or from now, and return the subscription.

    Raises Rejected `payment_failed` if the amount due now cannot be paid; then nothing has changed.
    """
    params: dict[str, Any] = {
        "items": [_changed_item(present, change)],
        "proration_behavior": _BEHAVIORS[proration],
        **_proration_date(at),
    }
    if not present.sends_invoice:
        params["payment_behavior"] = "error_if_incomplete"
    async with gateway.calls(), stripe_rejections(), _payment_failures():
        updated = await gateway.api.subscriptions.update_async(
            present.stripe_subscription_id,
            params,  # type: ignore[arg-type]
            {"idempotency_key": key},
        )
        return read_subscription(updated.to_dict())


async def schedule_change(
    gateway: StripeGateway, present: StripeSubscription, change: ItemChange, keys: tuple[str, str]
) -> None:
    """Schedule a change of an item for the end of the running period.

    The schedule releases the subscription one period later. `keys` are the idempotency keys for creating and
    for updating the schedule.
    """
    async with gateway.calls(), stripe_rejections():
        schedules = gateway.api.subscription_schedules
        schedule = await _schedule_of(gateway, present, keys[0])
        params: dict[str, Any] = {
            "phases": _phases(schedule.to_dict(), present, change),
            "end_behavior": "release",
            "proration_behavior": "none",
        }
        await schedules.update_async(
            schedule.id,
            params,  # type: ignore[arg-type]
            {"idempotency_key": keys[1]},
        )


async def _schedule_of(
    gateway: StripeGateway, present: StripeSubscription, key: str
) -> stripe.SubscriptionSchedule:
    """Return the subscription's schedule, creating it if there is none."""
    schedules = gateway.api.subscription_schedules
    if present.schedule_id is not None:
        return await schedules.retrieve_async(present.schedule_id)
    try:
        return await schedules.create_async(
            {"from_subscription": present.stripe_subscription_id}, {"idempotency_key": key}
        )
    except stripe.InvalidRequestError:
        # Another command may have created it meanwhile.
        now = await get_subscription(gateway, present.stripe_subscription_id)
        if now.schedule_id is None:
            raise
        return await schedules.retrieve_async(now.schedule_id)


async def release_schedule(
    gateway: StripeGateway, present: StripeSubscription, key: str
) -> StripeSubscription:
    """Release the subscription from its schedule, if it has one, and return it."""
    if present.schedule_id is None:
        return present
    async with gateway.calls():
        try:
            await gateway.api.subscription_schedules.release_async(
                present.schedule_id, {}, {"idempotency_key": key}
            )
        except stripe.InvalidRequestError as error:
            return await _current_if_released(gateway, present, error)
    return await get_subscription(gateway, present.stripe_subscription_id)


async def get_subscription(gateway: StripeGateway, stripe_subscription_id: str) -> StripeSubscription:
    """Fetch a subscription; raises Rejected `not_found`."""
    present = await gateway.find_subscription(stripe_subscription_id)
    if present is None:
        raise Rejected(
            "not_found",
            "Stripe does not have this subscription any more.",
            {"stripe_subscription_id": stripe_subscription_id},
        )
    return present


async def preview_change(
    gateway: StripeGateway,
    present: StripeSubscription,
    change: ItemChange,
    proration: Proration,
    *,
    at: datetime | None = None,
) -> Json:
    """Preview the invoice of a change made now: that of the change itself, else the next regular one."""
    details = {
        "items": [_changed_item(present, change)],
        "proration_behavior": _BEHAVIORS[proration],
        **_proration_date(at),
    }
    return await _preview(
        gateway, {"subscription": present.stripe_subscription_id, "subscription_details": details}
    )


async def preview_purchase(gateway: StripeGateway, stripe_customer_id: str, item: dict[str, Any]) -> Json:
    """Preview the first invoice of a new subscription to an item, given by its parameters."""
    return await _preview_new(gateway, stripe_customer_id, [item], gateway.tax.of_owner())


async def preview_unused_time(
    gateway: StripeGateway, stripe_subscription_id: str, at: datetime | None
) -> Json | None:
    """Preview the last invoice of a subscription that ends at a time, or now; None if it has ended."""
    details: dict[str, Any] = {"cancel_now": True, "proration_behavior": "create_prorations"}
    if at is not None:
        details["proration_date"] = int(at.timestamp())
    params: dict[str, Any] = {"subscription": stripe_subscription_id, "subscription_details": details}
    async with gateway.calls():
        try:
            preview = await gateway.api.invoices.create_preview_async(params)  # type: ignore[arg-type]
        except stripe.InvalidRequestError:
            return None
        return preview.to_dict()


async def preview_regular(gateway: StripeGateway, present: StripeSubscription, change: ItemChange) -> Json:
    """Preview a whole period after a change, without the schedule; it is dated from today."""
    tax = _tax_params(present)
    return await _preview_new(gateway, present.stripe_customer_id, _items_after(present, change), tax)


async def preview_upcoming_invoice(gateway: StripeGateway, **of: str) -> Json | None:
    """Preview the next invoice of a `customer` or `subscription`; None if none is coming."""
    async with gateway.calls():
        try:
            preview = await gateway.api.invoices.create_preview_async(of)  # type: ignore[arg-type]
        except stripe.InvalidRequestError as error:
            if error.http_status == 404 or error.code == "invoice_upcoming_none":
                return None
            raise Rejected("invalid_message", f"Stripe refuses it: {error.user_message or error}") from error
        return preview.to_dict()


async def _preview_new(
    gateway: StripeGateway, stripe_customer_id: str, items: list[Any], tax: dict[str, Any]
) -> Json:
    details: dict[str, Any] = {"items": items}
    if "default_tax_rates" in tax:
        details["default_tax_rates"] = tax["default_tax_rates"]
    params = {"customer": stripe_customer_id, "subscription_details": details}
    if "automatic_tax" in tax:
        params["automatic_tax"] = tax["automatic_tax"]
    return await _preview(gateway, params)


async def _preview(gateway: StripeGateway, params: dict[str, Any]) -> Json:
    async with gateway.calls(), stripe_rejections():
        preview = await gateway.api.invoices.create_preview_async(params)  # type: ignore[arg-type]
        return preview.to_dict()


def _proration_date(at: datetime | None) -> dict[str, Any]:
    return {} if at is None else {"proration_date": int(at.timestamp())}


def _changed_item(present: StripeSubscription, change: ItemChange) -> dict[str, Any]:
    item = _item(present, change)
    params = {"id": item.stripe_item_id, "price": change.after, "quantity": change.quantity}
    rates = changed_rates(present, item, change.tax_rates, change.known_tax_rates)
    # An empty text takes the rates away.
    return params if rates is None else params | {"tax_rates": rates or ""}


def _phases(schedule: Json, present: StripeSubscription, change: ItemChange) -> list[dict[str, Any]]:
    """Return the running phase up to the end of the period, then one period of the changed items."""
    running, end = schedule.get("current_phase"), present.current_period_end
    if running is None or end is None:
        raise Unavailable("The subscription's schedule is between two phases.")
    tax = _tax_params(present)
    first: dict[str, Any] = {
        **tax,
        "items": _items_now(present, change),
        "start_date": running["start_date"],
        "end_date": int(end.timestamp()),
    }
    if trial_end := _trial_end(schedule):
        first["trial_end"] = trial_end
    duration = {"interval": change.interval, "interval_count": change.interval_count}
    following = {"items": _items_after(present, change), "duration": duration, "proration_behavior": "none"}
    return [first, tax | following]


def _items_after(present: StripeSubscription, change: ItemChange) -> list[dict[str, Any]]:
    items = _items_now(present, change)
    items[present.items.index(_item(present, change))] |= {"price": change.after, "quantity": change.quantity}
    return items


def _items_now(present: StripeSubscription, change: ItemChange) -> list[dict[str, Any]]:
    """Return the present items' parameters; what a schedule does not repeat, an item loses.

    The item to change has its new tax rates already: the running period is invoiced, and Stripe refuses to
    name rates again that are archived.
    """
    changed = _item(present, change)
    rates = changed_rates(present, changed, change.tax_rates, change.known_tax_rates)
    found = []
    for item in present.items:
        params: dict[str, Any] = {"price": item.stripe_price_id, "quantity": item.quantity}
        tax_rates = rates if item is changed and rates is not None else list(item.tax_rates)
        found.append(params | ({"tax_rates": tax_rates} if tax_rates else {}))
    return found


def _tax_params(present: StripeSubscription) -> dict[str, Any]:
    """Return how a subscription is taxed, in the parameters of a phase."""
    if present.automatic_tax:
        return AUTOMATIC
    return {"default_tax_rates": list(present.default_tax_rates)} if present.default_tax_rates else {}


def _trial_end(schedule: Json) -> int | None:
    """Return the running phase's trial end, which must be repeated in an update."""
    phases = schedule.get("phases") or [{}]
    trial_end = phases[0].get("trial_end")
    return trial_end if isinstance(trial_end, int) else None


def _item(present: StripeSubscription, change: ItemChange) -> StripeItem:
    """Return the item to change; after a crash it may have the new price already."""
    for price in (change.before, change.after):
        for item in present.items:
            if item.stripe_price_id == price:
                return item
    raise Rejected(
        "unknown_price",
        "The subscription was changed in Stripe meanwhile.",
        {"stripe_subscription_id": present.stripe_subscription_id},
    )


async def _current_if_released(
    gateway: StripeGateway, present: StripeSubscription, error: stripe.InvalidRequestError
) -> StripeSubscription:
    """Return the subscription if its schedule was released meanwhile; raises Rejected otherwise."""
    now = await get_subscription(gateway, present.stripe_subscription_id)
    if now.schedule_id is None:
        return now
    raise Rejected("invalid_message", f"Stripe refuses it: {error.user_message or error}") from error


@asynccontextmanager
async def _payment_failures() -> AsyncIterator[None]:
    """Convert declined payments and a missing payment method to Rejected `payment_failed`."""
    try:
        yield
    except stripe.CardError as error:
        details = {"stripe_code": error.code, "decline_code": _decline_code(error)}
        raise _payment_failed(error, details) from error
    except stripe.InvalidRequestError as error:
        # Only for a missing payment method, the error names no parameter.
        if error.code != "resource_missing" or error.param is not None:
            raise
        raise _payment_failed(error, {"stripe_code": error.code, "decline_code": None}) from error


def _payment_failed(error: stripe.StripeError, details: dict[str, Any]) -> Rejected:
    return Rejected("payment_failed", f"The payment failed: {error.user_message or error}", details)


def _decline_code(error: stripe.CardError) -> str | None:
    body = error.json_body if isinstance(error.json_body, dict) else {}
    code = (body.get("error") or {}).get("decline_code")
    return code if isinstance(code, str) else None
