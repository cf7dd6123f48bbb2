"""Reading Stripe's connected accounts and bank payouts from JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Json = Mapping[str, Any]
_PROGRESS = {"pending": 0, "in_transit": 1, "paid": 2, "canceled": 3, "failed": 3}
"""How far a payout to a bank is; one that was paid may still fail."""
CURRENTLY_DUE_MAX = 100
"""Requirements kept of one account; Stripe has a few dozen."""


class Malformed(ValueError):
    """The JSON is not the Stripe object that was expected."""


@dataclass(frozen=True, slots=True)
class StripeAccount:
    """The fields of a connected account that are used here."""

    stripe_account_id: str
    email: str | None
    country: str | None
    default_currency: str | None
    details_submitted: bool
    charges_enabled: bool
    payouts_enabled: bool
    currently_due: tuple[str, ...]
    past_due: tuple[str, ...]
    disabled_reason: str | None

    @property
    def requirements(self) -> dict[str, Any]:
        """The requirements as they are stored and told."""
        return {
            "currently_due": list(self.currently_due),
            "past_due": list(self.past_due),
            "disabled_reason": self.disabled_reason,
        }


@dataclass(frozen=True, slots=True)
class BankPayout:
    """The fields of a payout from a connected account to its bank that are used here."""

    status: str
    amount: int
    currency: str
    arrival_at: datetime | None
    failure_message: str | None
    key: str
    """Orders the states of all payouts: a later payout, or a later state of one, has a greater key."""


def read_account(body: Json) -> StripeAccount:
    """Read a connected account; raises Malformed."""
    requirements = body.get("requirements") or {}
    return StripeAccount(
        stripe_account_id=_text(body, "id"),
        email=body.get("email"),
        country=body.get("country"),
        default_currency=body.get("default_currency"),
        details_submitted=body.get("details_submitted") is True,
        charges_enabled=body.get("charges_enabled") is True,
        payouts_enabled=body.get("payouts_enabled") is True and _may_receive(body),
        currently_due=_names(requirements, "currently_due"),
        past_due=_names(requirements, "past_due"),
        disabled_reason=requirements.get("disabled_reason"),
    )


def read_bank_payout(body: Json) -> BankPayout:
    """Read a payout; raises Malformed."""
    status, created = _text(body, "status"), _number(body, "created")
    arrival = body.get("arrival_date")
    return BankPayout(
        status=status,
        amount=_number(body, "amount"),
        currency=_text(body, "currency"),
        arrival_at=datetime.fromtimestamp(arrival, UTC) if isinstance(arrival, int) else None,
        failure_message=body.get("failure_message"),
        key=f"{created:012d} {_PROGRESS.get(status, 0)}",
    )


def _may_receive(body: Json) -> bool:
    # Without the capability Stripe refuses transfers, even while payouts to the bank are enabled.
    capabilities = body.get("capabilities") or {}
    return bool(capabilities.get("transfers", "active") == "active")


def _names(requirements: Json, name: str) -> tuple[str, ...]:
    listed = requirements.get(name) or []
    return tuple(str(each) for each in listed[:CURRENTLY_DUE_MAX])


def _text(body: Json, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise Malformed(f"{name} is missing")
    return value


def _number(body: Json, name: str) -> int:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Malformed(f"{name} is not a whole number")
    return value
