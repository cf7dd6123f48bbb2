"""Notifications about units and recharges."""

from services.notifications.domain.drafts import Draft
from tallystick.messages.consumables import ConsumableEvent, RechargeEvent

CUSTOMER_PREFIX = "customer:"
SEAT_PREFIX = "seat:"


def unit_drafts(name: str, event: ConsumableEvent) -> list[Draft]:
    """Return the notifications of a balance's event.

    The units of a seat are its holder's business, those of a team or customer the paying customer's.
    """
    balance = event.consumable
    customer = event.customer.token if event.customer else None
    recipient = recipient_of(balance.account, customer)
    if balance.kind != "consumable" or recipient is None:
        return []
    facts = {"feature": balance.feature, "remaining": balance.remaining}
    if name == "thresholdReached" and event.percent is not None:
        used = facts | {"percent": event.percent}
        return [Draft("usage_alert", event.event_id, recipient, customer, used)]
    if name == "low" and balance.remaining:
        return [Draft("units_low", event.event_id, recipient, customer, facts)]
    if name == "exhausted":
        return [Draft("units_exhausted", event.event_id, recipient, customer, facts)]
    return []


def recharge_drafts(name: str, event: RechargeEvent) -> list[Draft]:
    """Return the notifications of a recharge's event; they go to the customer who pays."""
    recharge = event.recharge
    customer = event.customer.token if event.customer else None
    if customer is None or name not in ("paid", "failed"):
        return []
    facts = {
        "feature": recharge.feature,
        "quantity": recharge.quantity,
        "amount": {"amount": recharge.amount.amount, "currency": recharge.amount.currency},
    }
    kind = "recharge_paid" if name == "paid" else "recharge_failed"
    return [Draft(kind, recharge.recharge_id, customer, customer, facts)]  # type: ignore[arg-type]


def recipient_of(account: str, customer: str | None) -> str | None:
    """Return who is told about an account."""
    if account.startswith(SEAT_PREFIX):
        return account.removeprefix(SEAT_PREFIX)
    return account.removeprefix(CUSTOMER_PREFIX) if account.startswith(CUSTOMER_PREFIX) else customer
