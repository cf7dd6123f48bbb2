"""Converting between snapshots, the contents of histories, and their JSON."""

from datetime import datetime
from fractions import Fraction
from typing import Any

from services.monitoring.domain.history import Run
from services.monitoring.domain.invoice_history import InvoiceContent
from services.monitoring.domain.prices import Item, PriceTerms
from services.monitoring.domain.subscription_history import Content
from tallystick.messages import subscriptions as s
from tallystick.messages.catalog import Price, Tier

PRICE_TERMS = ("model", "currency", "interval", "interval_count", "unit_amount", "base_amount", "tiers")
"""The fields of a price that make what it costs."""
_CUSTOM_TERMS = ("currency", "interval", "interval_count", "unit_amount")


def subscription_run(subscription: s.SubscriptionSnapshot, at: datetime) -> Run[Content]:
    """Return one version of a subscription as a run of its own."""
    content = Content(
        status=subscription.status,
        restricted=subscription.restricted,
        items=tuple(_item(item) for item in subscription.items),
        since=_since(subscription, at) if subscription.version > 1 else None,
    )
    return Run(subscription.version, subscription.version, at, content)


def _since(subscription: s.SubscriptionSnapshot, at: datetime) -> datetime:
    trial_end = subscription.trial_end
    is_after_trial = subscription.status != "trialing" and trial_end is not None and trial_end <= at
    return trial_end if is_after_trial and trial_end is not None else min(at, subscription.created_at)


def invoice_run(invoice: s.InvoiceSnapshot, at: datetime) -> Run[InvoiceContent]:
    """Return one version of an invoice as a run of its own."""
    content = InvoiceContent(
        status=invoice.status,
        currency=invoice.currency,
        amount_due=invoice.amount_due,
        amount_paid=invoice.amount_paid,
        amount_refunded=_given_back(invoice),
        attempt_count=invoice.attempt_count,
        subscription_id=invoice.subscription_id,
        net_share=_net_share(invoice),
    )
    return Run(invoice.version, invoice.version, at, content)


def _given_back(invoice: s.InvoiceSnapshot) -> int:
    """Return what the customer got back by refunds and lost disputes; never more than was paid."""
    return min(invoice.amount_paid, invoice.amount_refunded + invoice.amount_charged_back)


def _net_share(invoice: s.InvoiceSnapshot) -> Fraction | None:
    """Return the net share of an invoice's lines of whole periods; None without any that cost."""
    whole = [line for line in invoice.lines if not line.proration and line.price and line.amount > 0]
    if invoice.status == "void" or not whole or any(line.net is None for line in whole):
        return None
    return Fraction(sum(line.net or 0 for line in whole), sum(line.amount for line in whole))


def price_terms(price: Price) -> dict[str, Any]:
    """Return what a price costs, as stored."""
    return price.model_dump(mode="json", include=set(PRICE_TERMS))


def read_terms(stored: dict[str, Any]) -> PriceTerms:
    """Return the stored terms of a price."""
    fields = {name: stored[name] for name in PRICE_TERMS if name in stored}
    tiers = tuple(Tier.model_validate(tier) for tier in fields.pop("tiers", None) or ())
    return PriceTerms(**fields, tiers=tiers)


def write_subscription(content: Content) -> dict[str, Any]:
    """Return the JSON of a subscription's content; what is usual is left out."""
    return _without_defaults(
        {
            "status": content.status,
            "restricted": content.restricted,
            "items": [_write_item(item) for item in content.items],
            "since": content.since.isoformat() if content.since else None,
        }
    )


def read_subscription(stored: dict[str, Any]) -> Content:
    """Return a subscription's content from its JSON."""
    since = stored.get("since")
    return Content(
        status=stored["status"],
        restricted=stored.get("restricted", False),
        items=tuple(_read_item(item) for item in stored.get("items", ())),
        since=datetime.fromisoformat(since) if since else None,
    )


def write_invoice(content: InvoiceContent) -> dict[str, Any]:
    """Return the JSON of an invoice's content."""
    share = content.net_share
    fields = {name: getattr(content, name) for name in InvoiceContent.__slots__}
    return {**fields, "net_share": str(share) if share is not None else None}


def read_invoice(stored: dict[str, Any]) -> InvoiceContent:
    """Return an invoice's content from its JSON."""
    share = stored.get("net_share")
    return InvoiceContent(**{**stored, "net_share": Fraction(share) if share is not None else None})


def _item(item: s.SubscriptionItem) -> Item:
    custom = item.custom_price
    terms = None
    if item.price is None and custom is not None:
        # A price with tiers of its own has no unit amount; what it costs is not known here.
        terms = PriceTerms(
            model="per_seat",
            currency=custom.currency,
            interval=custom.interval,
            interval_count=custom.interval_count,
            unit_amount=custom.unit_amount,
        )
    return Item(item.price, item.quantity, terms)


def _write_item(item: Item) -> dict[str, Any]:
    terms = {name: getattr(item.terms, name) for name in _CUSTOM_TERMS} if item.terms else None
    return _without_defaults({"price": item.price, "quantity": item.quantity, "terms": terms})


def _read_item(stored: dict[str, Any]) -> Item:
    terms = stored.get("terms")
    return Item(
        stored.get("price"),
        stored.get("quantity", 0),
        PriceTerms(model="per_seat", **terms) if terms else None,
    )


def _without_defaults(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value or name == "status"}
