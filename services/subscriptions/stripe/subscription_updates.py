"""What is asked of Stripe to change a subscription, to schedule that, and to see what it would cost."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import stripe
from pydantic import BaseModel, ConfigDict

from services.subscriptions.domain.stripe_objects import (
    Json,
    StripeItem,
    StripeSubscription,
    read_subscription,
)
from services.subscriptions.stripe.client import StripeGateway, stripe_rejections
from shared.errors import Rejected, Unavailable
from tallystick.messages.catalog import Interval
from tallystick.messages.subscriptions import Proration

_BEHAVIORS: dict[Proration, str] = {
    "prorate": "create_prorations",
    "invoice": "always_invoice",
    "none": "none",
}


class ItemChange(BaseModel):
    """Another price or quantity for one item, in Stripe's terms."""

    model_config = ConfigDict(frozen=True)

    before: str
    """The price id of the item now."""
    after: str
    quantity: int
    interval: Interval


async def change_now(
    gateway: StripeGateway, present: StripeSubscription, change: ItemChange, proration: Proration, key: str
) -> StripeSubscription:
    """Change an item at once; the subscription as it is then.

    Raises Rejected `payment_failed` when what is to be paid at once cannot be; then nothing has changed.
    """
    params: dict[str, Any] = {
        "items": [_changed_item(present, change)],
        "proration_behavior": _BEHAVIORS[proration],
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
    """Have Stripe change an item when the running period ends; it lets go of the subscription after that.

    `keys` are for making the schedule and for telling it what comes.
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
    """The schedule that drives a subscription; made now if there was none."""
    schedules = gateway.api.subscription_schedules
    if present.schedule_id is not None:
        return await schedules.retrieve_async(present.schedule_id)
    try:
        return await schedules.create_async(
            {"from_subscription": present.stripe_subscription_id}, {"idempotency_key": key}
        )
    except stripe.InvalidRequestError:
        # Another command may have made it between our look and now.
        now = await get_subscription(gateway, present.stripe_subscription_id)
        if now.schedule_id is None:
            raise
        return await schedules.retrieve_async(now.schedule_id)


async def release_schedule(
    gateway: StripeGateway, present: StripeSubscription, key: str
) -> StripeSubscription:
    """Let a subscription go on as it is, if a schedule drives it; the subscription as it is then."""
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
    """A subscription as Stripe has it now; raises Rejected `not_found`."""
    present = await gateway.find_subscription(stripe_subscription_id)
    if present is None:
        raise Rejected(
            "not_found",
            "Stripe does not have this subscription any more.",
            {"stripe_subscription_id": stripe_subscription_id},
        )
    return present


async def preview_change(
    gateway: StripeGateway, present: StripeSubscription, change: ItemChange, proration: Proration
) -> Json:
    """The invoice that a change now leads to: at once if it makes one, else the next regular one."""
    details = {"items": [_changed_item(present, change)], "proration_behavior": _BEHAVIORS[proration]}
    return await _preview(
        gateway, {"subscription": present.stripe_subscription_id, "subscription_details": details}
    )


async def preview_purchase(gateway: StripeGateway, stripe_customer_id: str, stripe_price_id: str) -> Json:
    """The first invoice of a subscription that a customer does not have yet."""
    return await _preview_new(gateway, stripe_customer_id, [{"price": stripe_price_id, "quantity": 1}])


async def preview_regular(gateway: StripeGateway, present: StripeSubscription, change: ItemChange) -> Json:
    """What a whole period costs after a change, whatever else is scheduled; its dates are those of today."""
    return await _preview_new(gateway, present.stripe_customer_id, _items_after(present, change))


async def preview_upcoming_invoice(gateway: StripeGateway, **of: str) -> Json | None:
    """The next invoice of a `customer` or `subscription`, if nothing changes; None where none will come."""
    async with gateway.calls():
        try:
            preview = await gateway.api.invoices.create_preview_async(of)  # type: ignore[arg-type]
        except stripe.InvalidRequestError as error:
            if error.http_status == 404 or error.code == "invoice_upcoming_none":
                return None
            raise Rejected("invalid_message", f"Stripe refuses it: {error.user_message or error}") from error
        return preview.to_dict()


async def _preview_new(gateway: StripeGateway, stripe_customer_id: str, items: list[Any]) -> Json:
    return await _preview(gateway, {"customer": stripe_customer_id, "subscription_details": {"items": items}})


async def _preview(gateway: StripeGateway, params: dict[str, Any]) -> Json:
    async with gateway.calls(), stripe_rejections():
        preview = await gateway.api.invoices.create_preview_async(params)  # type: ignore[arg-type]
        return preview.to_dict()


def _changed_item(present: StripeSubscription, change: ItemChange) -> dict[str, Any]:
    item = _item(present, change)
    return {"id": item.stripe_item_id, "price": change.after, "quantity": change.quantity}


def _phases(schedule: Json, present: StripeSubscription, change: ItemChange) -> list[dict[str, Any]]:
    """The running phase as it is up to the end of the period, then one period of what is wanted."""
    running, end = schedule.get("current_phase"), present.current_period_end
    if running is None or end is None:
        raise Unavailable("The subscription's schedule is between two phases.")
    items = [{"price": item.stripe_price_id, "quantity": item.quantity} for item in present.items]
    first: dict[str, Any] = {
        "items": items,
        "start_date": running["start_date"],
        "end_date": int(end.timestamp()),
    }
    if trial_end := _trial_end(schedule):
        first["trial_end"] = trial_end
    duration = {"interval": change.interval, "interval_count": 1}
    following = {"items": _items_after(present, change), "duration": duration, "proration_behavior": "none"}
    return [first, following]


def _items_after(present: StripeSubscription, change: ItemChange) -> list[dict[str, Any]]:
    changed = _item(present, change)
    return [
        {"price": change.after, "quantity": change.quantity}
        if item is changed
        else {"price": item.stripe_price_id, "quantity": item.quantity}
        for item in present.items
    ]


def _trial_end(schedule: Json) -> int | None:
    """When the running phase says itself when its trial ends, it must go on saying so."""
    phases = schedule.get("phases") or [{}]
    trial_end = phases[0].get("trial_end")
    return trial_end if isinstance(trial_end, int) else None


def _item(present: StripeSubscription, change: ItemChange) -> StripeItem:
    """The item to change; when a crash lost Stripe's answer, it has the new price already."""
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
    """The subscription if its schedule has let go by itself meanwhile."""
    now = await get_subscription(gateway, present.stripe_subscription_id)
    if now.schedule_id is None:
        return now
    raise Rejected("invalid_message", f"Stripe refuses it: {error.user_message or error}") from error


@asynccontextmanager
async def _payment_failures() -> AsyncIterator[None]:
    """A payment that fails, or for which there is nothing to charge, is the customer's to mend."""
    try:
        yield
    except stripe.CardError as error:
        details = {"stripe_code": error.code, "decline_code": _decline_code(error)}
        raise _payment_failed(error, details) from error
    except stripe.InvalidRequestError as error:
        # The one thing missing that is not named by a parameter: a payment method.
        if error.code != "resource_missing" or error.param is not None:
            raise
        raise _payment_failed(error, {"stripe_code": error.code, "decline_code": None}) from error


def _payment_failed(error: stripe.StripeError, details: dict[str, Any]) -> Rejected:
    return Rejected("payment_failed", f"The payment failed: {error.user_message or error}", details)


def _decline_code(error: stripe.CardError) -> str | None:
    body = error.json_body if isinstance(error.json_body, dict) else {}
    code = (body.get("error") or {}).get("decline_code")
    return code if isinstance(code, str) else None
