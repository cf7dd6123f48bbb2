"""What the seller's page shows: the account's state, what is due, balances and the schedule, in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from services.gateway.pages.i18n import Translations
from services.gateway.pages.price_text import format_amount_input
from tallystick.messages import payouts as m
from tallystick.messages.base import Money

AccountState = Literal["none", "disconnected", "incomplete", "disabled", "action_needed", "ready"]
COUNTRIES = (
    "AT", "AU", "BE", "BG", "CA", "CH", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GB", "GR", "HK",
    "HR", "HU", "IE", "IT", "JP", "LI", "LT", "LU", "LV", "MT", "MX", "NL", "NO", "NZ", "PL", "PT", "RO",
    "SE", "SG", "SI", "SK", "TH", "US",
)  # fmt: skip
"""Countries with Express accounts. Source: https://docs.stripe.com/connect/express-accounts"""
GROUPS = (
    ("external_account", "bank_account"),
    ("tos_acceptance", "terms"),
    ("representative", "person"),
    ("individual", "person"),
    ("person_", "person"),
    ("owners", "person"),
    ("directors", "person"),
    ("executives", "person"),
    ("company", "company"),
    ("business_profile", "business"),
    ("business_type", "business"),
    ("documents", "document"),
)
"""Names of Stripe's requirements by their beginning, and the text for them."""
ON_DEMAND = "on demand"
"""The reference of payouts that are asked for on the page."""


@dataclass(frozen=True, slots=True)
class BalanceView:
    """What a seller has in one currency, in words."""

    currency: str
    available: str
    pending: str
    paid_out: str
    may_pay_out: bool
    is_negative: bool


@dataclass(frozen=True, slots=True)
class ScheduleView:
    """The schedule, and the values of its form."""

    every: str
    hold_days: int
    minimum: str
    currency: str
    minimum_input: str


def account_state(account: m.PayoutAccountSnapshot | None) -> AccountState:
    """Return what a seller has to do, if anything."""
    if account is None:
        return "none"
    if account.disconnected_at is not None:
        return "disconnected"
    if not account.details_submitted:
        return "incomplete"
    if not account.payouts_enabled:
        return "disabled"
    return "action_needed" if account.requirements.currently_due else "ready"


def requirements(account: m.PayoutAccountSnapshot | None, translations: Translations) -> list[str]:
    """Return what Stripe needs, in words, each once."""
    if account is None or account.disconnected_at is not None:
        return []
    names = [*account.requirements.past_due, *account.requirements.currently_due]
    return list(dict.fromkeys(translations.translate(f"payouts.due.{_group(name)}") for name in names))


def balances(found: m.SellerBalances | None, translations: Translations) -> list[BalanceView] | None:
    """Return the balances by currency; None if they are unavailable."""
    if found is None:
        return None
    return [
        BalanceView(
            currency=each.currency,
            available=translations.money(each.available, each.currency),
            pending=translations.money(each.pending, each.currency),
            paid_out=translations.money(each.paid_out - each.returned, each.currency),
            may_pay_out=each.available > 0,
            is_negative=each.available < 0,
        )
        for each in found.items
    ]


def schedule(
    account: m.PayoutAccountSnapshot | None, found: m.SellerBalances | None, translations: Translations
) -> ScheduleView | None:
    """Return the schedule; its minimum is edited in the currency it has, else in the account's."""
    if account is None or account.disconnected_at is not None:
        return None
    minimum, plan = account.schedule.minimum, account.schedule
    earned_in = found.items[0].currency if found and found.items else None
    currency = account.default_currency or earned_in or "eur"
    money = minimum if isinstance(minimum, Money) else Money(amount=minimum, currency=currency)
    return ScheduleView(
        every=plan.every,
        hold_days=plan.hold_days,
        minimum=translations.price(money) if money.amount else "",
        currency=money.currency,
        minimum_input=format_amount_input(money, translations) if money.amount else "",
    )


def countries(translations: Translations) -> list[tuple[str, str]]:
    """Return the countries in which a seller may be, with their names, in the order of the names."""
    names = translations.locale.territories
    return sorted(((code, str(names.get(code, code))) for code in COUNTRIES), key=lambda each: each[1])


def entry_reason(
    entry: m.SellerEntrySnapshot, product_names: Mapping[str, str], translations: Translations
) -> str:
    """Return what an entry is about: a product and its share, or a reason given by hand."""
    if entry.product is not None and entry.share_percent is not None:
        name = product_names.get(entry.product, entry.product)
        return translations.translate("payouts.share_of", product=name, percent=entry.share_percent)
    return payout_reference(entry.reason or "", translations)


def payout_reference(reference: str, translations: Translations) -> str:
    """Return the reference of a payout; that of the page's own form in the reader's language."""
    return translations.translate("payouts.on_demand") if reference == ON_DEMAND else reference


def _group(name: str) -> str:
    return next((text for start, text in GROUPS if name.startswith(start)), "other")
