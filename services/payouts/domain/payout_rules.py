"""The rules of a payout: how much, in which currency, and whether it is made at all."""

from collections.abc import Mapping
from dataclasses import dataclass, field


class PayoutRefused(Exception):
    """A payout that is not made; `code` and `details` as in the rejection."""

    def __init__(self, code: str, message: str, details: Mapping[str, object]) -> None:
        super().__init__(message)
        self.code, self.message, self.details = code, message, dict(details)


@dataclass(frozen=True, slots=True)
class Minimum:
    """The smallest payout, in minor units: of every currency, or of one."""

    amount: int = 0
    currency: str | None = None

    def of(self, currency: str) -> int:
        """Return the smallest payout in a currency: at least one minor unit."""
        return max(1, self.amount if self.currency in (None, currency) else 1)


@dataclass(frozen=True, slots=True)
class PayoutRequest:
    """What is asked for: an amount, or all of a currency, or all of the only currency there is."""

    amount: int | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class Payable:
    """What a seller has, by currency, and the smallest payout."""

    available: Mapping[str, int]
    minimum: Minimum = field(default_factory=Minimum)

    def decide(self, asked: PayoutRequest) -> tuple[int, str]:
        """Return amount and currency of the payout.

        Raises PayoutRefused `currency_required`, `insufficient_balance`, `below_minimum`.
        """
        currency = asked.currency or self._only_currency()
        available = self.available.get(currency, 0)
        amount = available if asked.amount is None else asked.amount
        if amount > available or available <= 0:
            raise PayoutRefused(
                "insufficient_balance",
                f"{max(0, available)} is available.",
                {"available": available, "currency": currency},
            )
        if amount < self.minimum.of(currency):
            raise PayoutRefused(
                "below_minimum",
                f"The smallest payout is {self.minimum.of(currency)}.",
                {"minimum": self.minimum.of(currency), "amount": amount, "currency": currency},
            )
        return amount, currency

    def _only_currency(self) -> str:
        positive = sorted(currency for currency, amount in self.available.items() if amount > 0)
        if len(positive) == 1:
            return positive[0]
        if positive:
            raise PayoutRefused(
                "currency_required",
                "Several currencies are available: name one.",
                {"currencies": positive},
            )
        raise PayoutRefused(
            "insufficient_balance", "Nothing is available.", {"available": 0, "currency": None}
        )
