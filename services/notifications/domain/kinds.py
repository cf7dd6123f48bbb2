"""What the mail of each kind shows, and where its button leads."""

from dataclasses import dataclass
from typing import Any, Literal

from tallystick.messages.notifications import MANDATORY_KINDS, Kind

Audience = Literal["customer", "member", "operator"]
Target = Literal["claim", "billing", "invoice", "plans", "payouts", "admin"]
"""Page behind the button; `invoice` is the invoice at Stripe, `admin` the page of operators."""


@dataclass(frozen=True, slots=True)
class KindSpec:
    """The contents of a kind of mail."""

    details: tuple[str, ...]
    """Rows of the table of facts, in their order; those without a value are left out."""
    target: Target | None = "billing"
    audience: Audience = "customer"


KINDS: dict[Kind, KindSpec] = {
    "invitation": KindSpec(("customer", "plan", "role", "expires"), "claim", "member"),
    "invitation_reminder": KindSpec(("customer", "plan", "role", "expires"), "claim", "member"),
    "seat_claimed": KindSpec(("holder", "plan", "role")),
    "seat_revoked": KindSpec(("customer", "plan"), None, "member"),
    "subscription_started": KindSpec(("customer", "plan", "seats", "trial_end", "renews")),
    "subscription_changed": KindSpec(("customer", "plan", "seats", "takes_effect")),
    "cancel_scheduled": KindSpec(("customer", "plan", "ends")),
    "subscription_ended": KindSpec(("customer", "plan", "ended"), "plans"),
    "trial_ending": KindSpec(("customer", "plan", "seats", "trial_end", "amount")),
    "renewal_upcoming": KindSpec(("customer", "plan", "seats", "renews", "amount")),
    "card_expiring": KindSpec(("customer", "plan", "charged")),
    "invoice_paid": KindSpec(("customer", "number", "amount"), "invoice"),
    "payment_failed": KindSpec(("customer", "number", "due", "attempts", "grace_until"), "invoice"),
    "payment_action_required": KindSpec(("customer", "number", "due"), "invoice"),
    "access_restricted": KindSpec(("customer", "plan")),
    "payment_recovered": KindSpec(("customer", "plan")),
    "units_low": KindSpec(("customer", "feature", "remaining")),
    "units_exhausted": KindSpec(("customer", "feature")),
    "usage_alert": KindSpec(("customer", "feature", "percent", "remaining")),
    "recharge_paid": KindSpec(("customer", "feature", "quantity", "amount")),
    "recharge_failed": KindSpec(("customer", "feature", "quantity", "amount")),
    "license_issued": KindSpec(("customer", "plan", "seats", "key_hint", "expires")),
    "license_expiring": KindSpec(("customer", "plan", "seats", "key_hint", "expires")),
    "payout_paid": KindSpec(("customer", "amount", "arrives"), "payouts"),
    "payout_failed": KindSpec(("customer", "amount", "reason"), "payouts"),
    "alarm": KindSpec(("severity", "since"), "admin", "operator"),
}
OPTIONAL_KINDS: tuple[Kind, ...] = tuple(
    kind for kind in KINDS if kind not in MANDATORY_KINDS and kind != "alarm"
)
"""Kinds that a recipient can switch off."""

SAMPLE_FACTS: dict[str, Any] = {
    "customer": "Acme GmbH",
    "plan": "Team",
    "role": "Editor",
    "holder": "anna@example.com",
    "seats": 12,
    "feature": "Mentorship hours",
    "quantity": 10,
    "remaining": 4,
    "percent": 80,
    "amount": {"amount": 58800, "currency": "eur"},
    "due": {"amount": 58800, "currency": "eur"},
    "number": "TS-2026-0042",
    "attempts": 2,
    "expires": "2026-03-08T12:00:00Z",
    "renews": "2026-03-01T00:00:00Z",
    "charged": "2026-03-01T00:00:00Z",
    "trial_end": "2026-03-01T00:00:00Z",
    "ends": "2026-03-01T00:00:00Z",
    "ended": "2026-03-01T00:00:00Z",
    "grace_until": "2026-03-15T00:00:00Z",
    "key_hint": "…7Q2F",
    "arrives": "2026-03-04T00:00:00Z",
    "reason": "The bank account was closed",
    "severity": "critical",
    "since": "2026-03-01T09:30:00Z",
    "title": "The queue of seats is not read",
    "description": "1,240 messages wait for the service seats; the oldest has waited for 9 minutes.",
}
"""Facts of a mail that is only shown or sent as a test."""


def sample_facts(kind: Kind) -> dict[str, Any]:
    """Return the facts of a sample mail."""
    shown = {*KINDS[kind].details, "customer", "plan", "feature", "title", "description"}
    facts = {name: value for name, value in SAMPLE_FACTS.items() if name in shown}
    return facts | {"takes_effect": "2026-03-01T00:00:00Z"} if kind == "subscription_changed" else facts
