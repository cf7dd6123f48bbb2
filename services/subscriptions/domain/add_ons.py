"""Rules for buying an add-on: which prices are add-ons, and how the required details are validated."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from email_validator import EmailNotValidError, validate_email
from pydantic import JsonValue

from services.subscriptions.domain.catalog_lookup import CatalogLookup
from services.subscriptions.domain.rule_violation import RuleViolation
from services.subscriptions.domain.subscription_state import State
from tallystick.messages.catalog import Price, Product
from tallystick.messages.subscriptions import FINAL_STATUSES, GRANTING_STATUSES

DOMAIN_MAX_CHARACTERS = 253
"""RFC 1035 has 255 octets on the wire, which leaves this many characters of text."""
ONE_AT_A_TIME = ("flat", "free")
"""The models of prices that are not sold by quantity."""
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class AddOnState:
    """The part of an add-on that changes."""

    status: str
    cancel_at: datetime | None


def add_on_state_of(subscription: State) -> AddOnState:
    """Derive an add-on's state from its subscription's state."""
    if subscription.is_final:
        return AddOnState(subscription.status, subscription.ended_at)
    return AddOnState(subscription.status, subscription.ends_at)


def event_between(before: AddOnState | None, after: AddOnState) -> str | None:
    """Return the event that leads from one state to the next, or None.

    `before` is None until the add-on's first event was emitted. No event is emitted before the add-on is paid
    for, and none after it has ended.
    """
    if before is None:
        return "purchased" if after.status in GRANTING_STATUSES else None
    if before == after or before.status in FINAL_STATUSES:
        return None
    return "canceled" if after.status in FINAL_STATUSES else "updated"


def require_add_on_price(catalog: CatalogLookup, code: str) -> tuple[Price, Product]:
    """Return the price and its add-on; raise RuleViolation `unknown_price` or `not_an_add_on`."""
    price = catalog.price(code)
    if price is None or price.archived or not price.listed:
        raise RuleViolation("unknown_price", f"The catalog sells nothing at {code!r}.", price=code)
    product = catalog.product_of(price)
    if product.kind != "add_on":
        raise RuleViolation(
            "not_an_add_on", f"{code!r} sells the plan {product.code!r}. Use start_checkout.", price=code
        )
    return price, product


def validate_details(product: Product, details: Mapping[str, str]) -> dict[str, str]:
    """Return the buyer's details, trimmed and normalized.

    Raises RuleViolation `add_on_details_required`, listing every detail that is `missing` or `invalid`.
    """
    cleaned = {name: value.strip() for name, value in details.items()}
    missing: list[JsonValue] = [name for name in product.required_details if not cleaned.get(name)]
    invalid: list[JsonValue] = []
    for name, value in cleaned.items():
        form = _validator_for(name)
        if form is None or not value:
            continue
        try:
            cleaned[name] = form(value)
        except ValueError as problem:
            invalid.append({"detail": name, "problem": str(problem)})
    if missing or invalid:
        raise RuleViolation(
            "add_on_details_required",
            f"{product.name} needs to know more: give these details.",
            missing=missing,
            invalid=invalid,
        )
    return cleaned


def exclusive_key(catalog: CatalogLookup, price: Price, details: Mapping[str, str]) -> str | None:
    """Return the key under which an add-on can be held only once; None if a second one adds something.

    Units and limits add up, and so does what is sold by quantity. A flag does not: a second one makes sense
    only with other details.
    """
    product = catalog.product_of(price)
    if price.model not in ONE_AT_A_TIME:
        return None
    features = (catalog.feature(given.feature) for given in product.features)
    if any(feature is not None and feature.kind != "flag" for feature in features):
        return None
    parts = (f"{name}={details.get(name)}" for name in sorted(product.required_details))
    return "?".join((product.code, *parts))


def require_plan(subscriptions: Iterable[State], add_ons: frozenset[str]) -> None:
    """Raise RuleViolation `no_active_subscription` unless one of the subscriptions is to a plan and running.

    `add_ons` are the codes of the products that are add-ons, not plans.
    """
    if not any(state.status in GRANTING_STATUSES and state.products - add_ons for state in subscriptions):
        raise RuleViolation(
            "no_active_subscription", "Add-ons are for customers with a running subscription."
        )


def normalize_domain_name(text: str) -> str:
    """Return a domain name in lower-case ASCII without a final dot; raise ValueError for an invalid one."""
    try:
        name = text.rstrip(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise ValueError("is not a domain name") from None
    labels = name.split(".")
    if len(name) > DOMAIN_MAX_CHARACTERS:
        raise ValueError(f"is longer than {DOMAIN_MAX_CHARACTERS} characters")
    if len(labels) < 2:
        raise ValueError("is not a whole domain name, such as shop.example")
    if not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        raise ValueError("is not a domain name")
    return name


def validate_email_address(text: str) -> str:
    """Return a valid email address unchanged; raise ValueError for any other text."""
    try:
        found = validate_email(text, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        raise ValueError("is not an email address") from None
    if "." not in found.domain:
        raise ValueError("is not an email address")
    return text


_VALIDATORS: dict[str, Callable[[str], str]] = {
    "domain": normalize_domain_name,
    "domain_name": normalize_domain_name,
    "email": validate_email_address,
    "email_address": validate_email_address,
}
"""Validators by the end of a detail's code: `domain_name`, `shop_domain`, `contact_email`."""


def _validator_for(detail: str) -> Callable[[str], str] | None:
    ends = (form for end, form in _VALIDATORS.items() if detail == end or detail.endswith(f"_{end}"))
    return next(ends, None)
