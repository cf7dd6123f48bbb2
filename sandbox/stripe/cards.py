"""Stripe's test cards: numbers, tokens and behaviour."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sandbox.stripe.faults import StripeFault

MESSAGES = {
    "generic_decline": "Your card was declined.",
    "insufficient_funds": "Your card has insufficient funds.",
    "lost_card": "Your card was declined.",
    "stolen_card": "Your card was declined.",
    "expired_card": "Your card has expired.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "processing_error": "An error occurred while processing your card. Try again in a little bit.",
    "authentication_required": "Your card was declined. This transaction requires authentication.",
    "incorrect_number": "Your card number is incorrect.",
}
OWN_CODES = {
    "expired_card",
    "incorrect_cvc",
    "processing_error",
    "incorrect_number",
    "authentication_required",
}
"""Declines whose error code is not `card_declined`."""


@dataclass(frozen=True)
class TestCard:
    """Behaviour of a test card: whether it can be attached or charged, and needs authentication."""

    __test__ = False

    number: str
    brand: str = "visa"
    tokens: tuple[str, ...] = ()
    attach_decline: str | None = None
    charge_decline: str | None = None
    authenticate: str = "never"
    """`never`; `setup`: until it was authenticated once; `always`: for every payment."""
    funding: str = "credit"
    dispute: str | None = None
    """The reason for which its charges are disputed; `general` is an inquiry."""
    refund: str = "succeeded"
    """`pending`: its refunds wait until they are settled by hand."""

    @property
    def last4(self) -> str:
        """Last four digits."""
        return self.number[-4:]

    def decline_now(self) -> str | None:
        """Reason why the card would be declined if it were attached and charged now."""
        return self.attach_decline or self.charge_decline


def _declined(number: str, reason: str, *tokens: str) -> TestCard:
    return TestCard(number, tokens=tokens, attach_decline=reason, charge_decline=reason)


TEST_CARDS = (
    TestCard("4242424242424242", tokens=("visa",)),
    TestCard("4000056655665556", tokens=("visa_debit",), funding="debit"),
    TestCard("5555555555554444", "mastercard", ("mastercard",)),
    TestCard("5200828282828210", "mastercard", ("mastercard_debit",), funding="debit"),
    TestCard("378282246310005", "amex", ("amex",)),
    TestCard("6011111111111117", "discover", ("discover",)),
    _declined("4000000000000002", "generic_decline", "visa_chargeDeclined", "chargeDeclined"),
    _declined("4000000000009995", "insufficient_funds", "visa_chargeDeclinedInsufficientFunds",
              "chargeDeclinedInsufficientFunds"),
    _declined("4000000000009987", "lost_card", "visa_chargeDeclinedLostCard"),
    _declined("4000000000009979", "stolen_card", "visa_chargeDeclinedStolenCard"),
    _declined("4000000000000069", "expired_card", "chargeDeclinedExpiredCard"),
    _declined("4000000000000127", "incorrect_cvc", "chargeDeclinedIncorrectCvc"),
    _declined("4000000000000119", "processing_error", "chargeDeclinedProcessingError"),
    TestCard("4000000000000341", tokens=("chargeCustomerFail",), charge_decline="generic_decline"),
    TestCard("4000002500003155", tokens=("authenticationRequiredOnSetup",), authenticate="setup"),
    TestCard("4000002760003184", tokens=("authenticationRequired",), authenticate="always"),
    TestCard("4000000000003220", tokens=("threeDSecure2Required",), authenticate="always"),
    TestCard("4000008260003178", tokens=("authenticationRequiredChargeDeclinedInsufficientFunds",),
             authenticate="always", charge_decline="insufficient_funds"),
    TestCard("4000000000000259", tokens=("createDispute",), dispute="fraudulent"),
    TestCard("4000000000002685", tokens=("createDisputeProductNotReceived",), dispute="product_not_received"),
    TestCard("4000000000001976", tokens=("createDisputeInquiry",), dispute="general"),
    TestCard("4000000000007726", tokens=("pendingRefund",), refund="pending"),
)  # fmt: skip

BY_NUMBER = {card.number: card for card in TEST_CARDS}
BY_TOKEN = {
    f"{prefix}_{token}": card for card in TEST_CARDS for token in card.tokens for prefix in ("tok", "pm_card")
}


def card_of(number: str) -> TestCard:
    """Return the test card with this number. Raises the card error of an unknown number."""
    digits = re.sub(r"[\s-]", "", number)
    card = BY_NUMBER.get(digits)
    if card is None:
        raise decline("incorrect_number", param="number")
    return card


def decline(reason: str, *, param: str | None = None, **objects: object) -> StripeFault:
    """Return the card error of a decline, with the objects it contains."""
    return StripeFault(
        MESSAGES[reason],
        status=402,
        type="card_error",
        code=error_code(reason),
        decline_code=None if reason == "incorrect_number" else reason,
        param=param,
        **objects,
    )


def error_code(reason: str) -> str:
    """Return Stripe's error code for a decline reason."""
    return reason if reason in OWN_CODES else "card_declined"
