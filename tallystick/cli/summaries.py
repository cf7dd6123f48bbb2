"""One-line summaries of entities, for lists and for the feed."""

from collections.abc import Callable, Mapping
from typing import Any

from tallystick.money import minor_unit_digits

Snapshot = Mapping[str, Any]


def money(amount: int | None, currency: str | None) -> str:
    """Format an amount in minor units: `49.00 EUR`, `4900 JPY`, `4.900 KWD`."""
    if amount is None or currency is None:
        return "–"
    digits = minor_unit_digits(currency)
    whole, fraction = divmod(abs(amount), 10**digits)
    sign = "-" if amount < 0 else ""
    return f"{sign}{whole}{f'.{fraction:0{digits}d}' if digits else ''} {currency.upper()}"


def _subscription(snapshot: Snapshot) -> str:
    items = ", ".join(
        f"{item.get('price') or item.get('stripe_price_id')}"
        + (f" × {item['quantity']}" if item.get("quantity", 1) != 1 else "")
        for item in snapshot.get("items", [])
    )
    ending = " · ends with its period" if snapshot.get("cancel_at_period_end") else ""
    return f"{snapshot.get('status')} · {items or 'no items'}{ending} · {snapshot.get('subscription_id')}"


def _invoice(snapshot: Snapshot) -> str:
    number = snapshot.get("number") or snapshot.get("invoice_id")
    return f"{snapshot.get('status')} · {money(snapshot.get('total'), snapshot.get('currency'))} · {number}"


def _entitlement(snapshot: Snapshot) -> str:
    if not snapshot.get("allowed"):
        return f"{snapshot.get('feature')} · no longer allowed"
    quantity = snapshot.get("quantity")
    return f"{snapshot.get('feature')} · allowed{'' if quantity is None else f' · {quantity}'}"


def _code_and_name(snapshot: Snapshot) -> str:
    return f"{snapshot.get('code')} · {snapshot.get('name')}"


def _price(snapshot: Snapshot) -> str:
    return f"{snapshot.get('code')} · {price_in_words(snapshot)}"


def price_in_words(price: Snapshot) -> str:
    """Describe a price: `49.00 EUR a month`, `99.00 EUR every 3 months`, `graduated, 3 tiers, EUR a year`."""
    if price.get("model") == "free":
        return "free"
    count = price.get("interval_count") or 1
    interval = f"a {price.get('interval')}" if count == 1 else f"every {count} {price.get('interval')}s"
    if price.get("tiers"):
        currency = str(price.get("currency")).upper()
        return f"{price.get('model')}, {len(price['tiers'])} tiers, {currency} {interval}"
    per = " a seat" if price.get("model") == "per_seat" else ""
    return f"{money(price.get('unit_amount'), price.get('currency'))}{per} {interval}"


_SUMMARIES: Mapping[str, Callable[[Snapshot], str]] = {
    "subscription": _subscription,
    "invoice": _invoice,
    "entitlement": _entitlement,
    "product": _code_and_name,
    "feature": _code_and_name,
    "price": _price,
    "customer": lambda snapshot: str(snapshot.get("email")),
}


def summary(entity: str, snapshot: Snapshot) -> str:
    """Summarise a snapshot; for an unknown entity list its first plain fields."""
    if entity in _SUMMARIES:
        return _SUMMARIES[entity](snapshot)
    plain = [
        f"{name}={value}"
        for name, value in snapshot.items()
        if name != "version" and isinstance(value, str | int) and not name.endswith("_at")
    ]
    return " · ".join(plain[:4])
