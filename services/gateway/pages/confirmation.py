"""What every confirmation of something that costs shows: the sum, the time it is for, and the card."""

from dataclasses import dataclass
from datetime import UTC, datetime

from services.gateway.pages.dependencies import PageContext
from services.gateway.pages.forms import parse_number
from services.gateway.pages.i18n import Translations
from services.gateway.pages.tax_text import tax_notes, total_rows
from services.gateway.pages.view_models import InvoiceLineView, PreviewView
from services.gateway.problem_details import ProblemError
from tallystick.messages.base import Customer, Money
from tallystick.messages.subscriptions import (
    ChangePreview,
    ChargePreview,
    GetPaymentMethod,
    PaymentMethod,
    Span,
)


@dataclass(frozen=True, slots=True)
class PaymentView:
    """The sum that a confirmation's button names, as text and for the form, and what pays for it."""

    amount: str
    is_due: bool
    is_saved: bool
    """Whether a payment method is saved, which is charged at once."""
    method: str
    due_amount: int
    due_currency: str
    proration_date: str
    """The moment from which the sum is prorated, for the form; empty: nothing is."""


async def load_payment_method(
    page: PageContext, customer: Customer, subscription_id: str | None = None
) -> PaymentMethod | None:
    """Return the payment method that pays for a subscription or, without one, for something new."""
    question = GetPaymentMethod(customer=customer, subscription_id=subscription_id)
    return (await page.services.request(question)).payment_method


def payment_view(
    due: Money,
    method: PaymentMethod | None,
    translations: Translations,
    proration_date: datetime | None = None,
) -> PaymentView:
    """Return the view of a payment that is due now."""
    return PaymentView(
        amount=translations.price(due) if due.amount else translations.translate("confirm.nothing"),
        is_due=due.amount > 0,
        is_saved=method is not None,
        method=payment_method_text(method, translations),
        due_amount=due.amount,
        due_currency=due.currency,
        proration_date=proration_date.isoformat() if proration_date is not None else "",
    )


def payment_method_text(method: PaymentMethod | None, translations: Translations) -> str:
    """Describe a payment method by its brand and last four digits."""
    if method is None:
        return translations.translate("confirm.no_method")
    name = translations.label("payment_method", method.brand or method.type)
    if method.last4 is None:
        return translations.translate("confirm.method", name=name)
    return translations.translate("confirm.card", name=name, last4=method.last4)


def agreed_moment(text: str) -> datetime | None:
    """Return the moment in a confirmation's form for which its sum was computed. Raises ProblemError."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ProblemError("invalid_message") from None


def charge_view(charge: ChargePreview, line: str, amount: Money, translations: Translations) -> PreviewView:
    """Return the view of a one-off charge with one line, which no other invoice follows."""
    currency, due = charge.currency, charge.totals.amount_due
    return PreviewView(
        due_now=translations.money(due, currency),
        next_invoice="",
        is_due_now=due > 0,
        lines=[InvoiceLineView(line, translations.price(amount))],
        totals=total_rows(charge.totals, currency, translations),
        notes=tax_notes(charge.totals, translations),
    )


def term_text(preview: ChangePreview, cost: str, translations: Translations) -> str | None:
    """Describe the time that a purchase is for; None if nothing is charged, or only parts of a period."""
    period = next((line.period for line in preview.lines if not line.proration), None)
    if period is None:
        return None
    if preview.due_now.amount == 0:
        return translations.translate("confirm.trial", date=translations.date(period.start), cost=cost)
    return _period_text(period, translations)


def agreed_amount(amount: str, currency: str) -> Money | None:
    """Return the sum in a confirmation's form; None if the form has none, so that nothing was confirmed.

    Raises ProblemError.
    """
    number = parse_number(amount)
    if number is None or not currency:
        return None
    if not (len(currency) == 3 and currency.isascii() and currency.isalpha() and currency.islower()):
        raise ProblemError("invalid_message")
    return Money(amount=number, currency=currency)


def _period_text(period: Span, translations: Translations) -> str:
    return translations.translate(
        "confirm.term", start=translations.date(period.start), end=translations.date(period.end)
    )
