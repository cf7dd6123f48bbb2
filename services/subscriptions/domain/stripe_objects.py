"""Reading Stripe's JSON into small typed values, for current and slightly older API versions.

A missing field or a wrong type raises `Malformed`, which names the field.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Json = Mapping[str, Any]


class Malformed(ValueError):
    """The JSON is not the Stripe object that was expected."""


@dataclass(frozen=True, slots=True)
class StripeEvent:
    """A Stripe event; `created` has whole seconds only."""

    event_id: str
    type: str
    created: datetime
    object: Json
    previous: Json = field(default_factory=dict)
    """The previous values of what has changed."""


@dataclass(frozen=True, slots=True)
class StripeRecurringPrice:
    """The terms of a recurring Stripe price; `unit_amount` is None for tiers and parts of a minor unit."""

    unit_amount: int | None
    currency: str
    interval: str
    interval_count: int


@dataclass(frozen=True, slots=True)
class StripeItem:
    """One item of a Stripe subscription."""

    stripe_item_id: str
    stripe_price_id: str
    lookup_key: str | None
    quantity: int
    stripe_product_id: str | None = None
    recurring: StripeRecurringPrice | None = None
    tax_rates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StripePhase:
    """A phase of a subscription's schedule."""

    start: datetime
    items: tuple[StripeItem, ...]


@dataclass(frozen=True, slots=True)
class StripeSubscription:
    """The fields of a Stripe subscription that are used here."""

    stripe_subscription_id: str
    stripe_customer_id: str
    status: str
    sends_invoice: bool
    collection_is_paused: bool
    items: tuple[StripeItem, ...]
    current_period_start: datetime | None
    current_period_end: datetime | None
    trial_end: datetime | None
    cancel_at: datetime | None
    cancel_at_period_end: bool
    canceled_at: datetime | None
    ended_at: datetime | None
    created: datetime
    checkout_id: str | None
    schedule_id: str | None
    add_on_id: str | None = None
    latest_invoice_id: str | None = None
    automatic_tax: bool = False
    default_tax_rates: tuple[str, ...] = ()
    phases: tuple[StripePhase, ...] | None = field(default=None, compare=False)
    """The phases of its schedule; None: unknown, because Stripe sent the schedule's id alone."""


@dataclass(frozen=True, slots=True)
class StripeCheckout:
    """The fields of a Stripe checkout session that are used here."""

    stripe_checkout_id: str
    stripe_customer_id: str | None
    stripe_subscription_id: str | None
    checkout_id: str | None
    status: str


@dataclass(frozen=True, slots=True)
class StripeCustomer:
    """The fields of a Stripe customer that are used here."""

    stripe_customer_id: str
    email: str | None
    name: str | None
    is_deleted: bool


CHECKOUT_ID_KEY = "tallystick_checkout_id"
"""Metadata key of a checkout session and its subscription: the id of our checkout."""
ADD_ON_ID_KEY = "tallystick_add_on_id"
"""Metadata key of a Stripe subscription: the id of our add-on."""
CUSTOMER_KEY = "tallystick_customer"
"""Metadata key of a Stripe customer: the token of our customer."""


def read_event(body: Any) -> StripeEvent:
    """Read an event from its parsed JSON."""
    data = _mapping(_mapping(body).get("data"), "data")
    return StripeEvent(
        event_id=_text(body, "id"),
        type=_text(body, "type"),
        created=_required_time(body, "created"),
        object=_mapping(data.get("object"), "data.object"),
        previous=_mapping(data.get("previous_attributes") or {}, "data.previous_attributes"),
    )


def read_subscription(body: Json) -> StripeSubscription:
    """Read a subscription; older API versions have the period on the subscription, not its items."""
    items = _data(body, "items")
    period_from = items[0] if items and items[0].get("current_period_end") is not None else body
    return StripeSubscription(
        stripe_subscription_id=_text(body, "id"),
        stripe_customer_id=_reference(body, "customer"),
        status=_text(body, "status"),
        sends_invoice=body.get("collection_method") == "send_invoice",
        collection_is_paused=body.get("pause_collection") is not None,
        items=tuple(_read_item(item) for item in items),
        current_period_start=_time(period_from, "current_period_start"),
        current_period_end=_time(period_from, "current_period_end"),
        trial_end=_time(body, "trial_end"),
        cancel_at=_time(body, "cancel_at"),
        cancel_at_period_end=body.get("cancel_at_period_end") is True,
        canceled_at=_time(body, "canceled_at"),
        ended_at=_time(body, "ended_at"),
        created=_required_time(body, "created"),
        checkout_id=_metadata(body).get(CHECKOUT_ID_KEY),
        add_on_id=_metadata(body).get(ADD_ON_ID_KEY),
        schedule_id=reference_id(body.get("schedule")),
        latest_invoice_id=reference_id(body.get("latest_invoice")),
        automatic_tax=(body.get("automatic_tax") or {}).get("enabled") is True,
        default_tax_rates=_read_references(body, "default_tax_rates"),
        phases=_read_phases(body.get("schedule")),
    )


def read_checkout(body: Json) -> StripeCheckout:
    """Read a checkout session."""
    return StripeCheckout(
        stripe_checkout_id=_text(body, "id"),
        stripe_customer_id=reference_id(body.get("customer")),
        stripe_subscription_id=reference_id(body.get("subscription")),
        checkout_id=_metadata(body).get(CHECKOUT_ID_KEY),
        status=_text(body, "status"),
    )


def read_customer(body: Json) -> StripeCustomer:
    """Read a customer; of a deleted one Stripe sends the id alone."""
    return StripeCustomer(
        stripe_customer_id=_text(body, "id"),
        email=_optional_text(body, "email"),
        name=_optional_text(body, "name"),
        is_deleted=body.get("deleted") is True,
    )


def reference_id(value: Any) -> str | None:
    """Return the id in a reference, which is the id itself or the expanded object."""
    if isinstance(value, Mapping):
        value = value.get("id")
    return value if isinstance(value, str) and value else None


def moment(value: Any) -> datetime | None:
    """Convert Stripe's seconds since 1970; return None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise Malformed(f"{value} is not a moment") from error


def _read_item(item: Json) -> StripeItem:
    price = item.get("price")
    price_id = reference_id(price)
    if price_id is None:
        raise Malformed("an item of the subscription has no price")
    expanded = price if isinstance(price, Mapping) else {}
    return StripeItem(
        stripe_item_id=_optional_text(item, "id") or "",
        stripe_price_id=price_id,
        lookup_key=_optional_text(expanded, "lookup_key"),
        quantity=_quantity(item),
        stripe_product_id=reference_id(expanded.get("product")),
        recurring=_read_recurring_price(expanded),
        tax_rates=_read_references(item, "tax_rates"),
    )


def _read_references(body: Json, field: str) -> tuple[str, ...]:
    found = (reference_id(each) for each in body.get(field) or [])
    return tuple(each for each in found if each is not None)


def _read_phases(schedule: Any) -> tuple[StripePhase, ...] | None:
    phases = schedule.get("phases") if isinstance(schedule, Mapping) else None
    if not isinstance(phases, list):
        return None
    return tuple(_read_phase(_mapping(phase, "schedule.phases")) for phase in phases)


def _read_phase(phase: Json) -> StripePhase:
    items = [_mapping(item, "schedule.phases.items") for item in phase.get("items") or []]
    return StripePhase(
        start=_required_time(phase, "start_date"),
        items=tuple(_read_item(item) for item in items),
    )


def _quantity(item: Json) -> int:
    """Return an item's quantity; metered prices have none."""
    quantity = item.get("quantity")
    return quantity if isinstance(quantity, int) else 1


def _read_recurring_price(price: Json) -> StripeRecurringPrice | None:
    recurring, currency, amount = price.get("recurring"), price.get("currency"), price.get("unit_amount")
    if not isinstance(recurring, Mapping) or not isinstance(currency, str):
        return None
    count = recurring.get("interval_count")
    return StripeRecurringPrice(
        unit_amount=amount if isinstance(amount, int) else None,
        currency=currency,
        interval=_text(recurring, "interval"),
        interval_count=count if isinstance(count, int) else 1,
    )


def _data(body: Json, field: str) -> list[Json]:
    listed = body.get(field)
    data = listed.get("data") if isinstance(listed, Mapping) else None
    if not isinstance(data, list):
        raise Malformed(f"{field}.data is not a list")
    return [_mapping(entry, field) for entry in data]


def _metadata(body: Json) -> dict[str, str]:
    metadata = body.get("metadata")
    return dict(metadata) if isinstance(metadata, Mapping) else {}


def _mapping(value: Any, field: str = "the event") -> Json:
    if not isinstance(value, Mapping):
        raise Malformed(f"{field} is not an object")
    return value


def _text(body: Json, field: str) -> str:
    value = body.get(field)
    if not isinstance(value, str) or not value:
        raise Malformed(f"{field} is missing")
    return value


def _optional_text(body: Json, field: str) -> str | None:
    value = body.get(field)
    return value if isinstance(value, str) else None


def _reference(body: Json, field: str) -> str:
    found = reference_id(body.get(field))
    if found is None:
        raise Malformed(f"{field} is missing")
    return found


def _time(body: Json, field: str) -> datetime | None:
    return moment(body.get(field))


def _required_time(body: Json, field: str) -> datetime:
    found = _time(body, field)
    if found is None:
        raise Malformed(f"{field} is missing")
    return found
