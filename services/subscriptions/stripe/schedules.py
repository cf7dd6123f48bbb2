"""Calls to Stripe that schedule a change for the end of the period, or take one back."""

from typing import Any

import stripe

from services.subscriptions.domain.stripe_objects import Json, StripeSubscription
from services.subscriptions.stripe.client import StripeGateway, stripe_rejections
from services.subscriptions.stripe.item_changes import ItemChange, items_after, items_now, tax_params
from services.subscriptions.stripe.subscription_updates import get_subscription
from shared.errors import Rejected, Unavailable


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


def _phases(schedule: Json, present: StripeSubscription, change: ItemChange) -> list[dict[str, Any]]:
    """Return the running phase up to the end of the period, then one period of the changed items."""
    running, end = schedule.get("current_phase"), present.current_period_end
    if running is None or end is None:
        raise Unavailable("The subscription's schedule is between two phases.")
    tax = tax_params(present)
    first: dict[str, Any] = {
        **tax,
        "items": items_now(present, change),
        "start_date": running["start_date"],
        "end_date": int(end.timestamp()),
    }
    if trial_end := _trial_end(schedule):
        first["trial_end"] = trial_end
    duration = {"interval": change.interval, "interval_count": change.interval_count}
    following = {"items": items_after(present, change), "duration": duration, "proration_behavior": "none"}
    return [first, tax | following]


def _trial_end(schedule: Json) -> int | None:
    """Return the running phase's trial end, which must be repeated in an update."""
    phases = schedule.get("phases") or [{}]
    trial_end = phases[0].get("trial_end")
    return trial_end if isinstance(trial_end, int) else None


async def _current_if_released(
    gateway: StripeGateway, present: StripeSubscription, error: stripe.InvalidRequestError
) -> StripeSubscription:
    """Return the subscription if its schedule was released meanwhile; raises Rejected otherwise."""
    now = await get_subscription(gateway, present.stripe_subscription_id)
    if now.schedule_id is None:
        return now
    raise Rejected("invalid_message", f"Stripe refuses it: {error.user_message or error}") from error
