"""The usage meters of the billing page: how much of how much, and the alerts that are set for it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from services.gateway.pages.billing_data import BillingPageData
from services.gateway.pages.billing_parts import AccountBalance, paid_accounts
from services.gateway.pages.i18n import Translations

Tone = Literal["good", "wait", "bad", "over"]


@dataclass(frozen=True, slots=True)
class AlertsView:
    """The usage alerts of a meter's account and feature."""

    account: str
    percents: str
    """As in the form's field, such as `50, 80, 100`; empty: there are no alerts."""
    reached: str
    """Those that the running cycle has reached."""


@dataclass(frozen=True, slots=True)
class Meter:
    """A limit or a balance of units, and how much of it is used."""

    feature: str
    name: str
    whose: str
    text: str
    used: int
    total: int | None
    """None: unlimited."""
    tone: Tone
    expires: str | None
    owed: str | None
    """What was used beyond the included units, with its price; None: nothing."""
    alerts: AlertsView | None = None
    """None: the caller may not change them, or there is no share of what is unlimited."""


def meters(data: BillingPageData, translations: Translations) -> list[Meter]:
    """Return a meter for every limit and balance of units that the customer may use."""
    return [_meter(account, data, translations) for account in data.balances if _is_relevant(account)]


def _is_relevant(account: AccountBalance) -> bool:
    balance = account.snapshot
    return balance.remaining is None or balance.remaining > 0 or bool(account.grants) or balance.consumed > 0


def _meter(account: AccountBalance, data: BillingPageData, translations: Translations) -> Meter:
    balance = account.snapshot
    left = balance.remaining
    if balance.kind == "limit":
        used, total = balance.consumed, None if left is None else balance.consumed + balance.reserved + left
        key = "meter.limit"
    else:
        with_units_left = sum(grant.quantity or 0 for grant in account.grants)
        total = None if left is None else max(account.total or with_units_left, left)
        used = balance.consumed if total is None or left is None else total - left
        key = "meter.units"
    values = {
        "used": translations.number(used),
        "left": translations.number(left or 0),
        "total": translations.number(total or 0),
    }
    return Meter(
        feature=balance.feature,
        name=data.catalog.feature_name(balance.feature),
        whose=owner_label(balance.account, data, translations),
        text=translations.translate(f"{key}.unlimited" if total is None else key, **values),
        used=used,
        total=total,
        tone="good" if left is None or left * 5 > (total or 0) else "wait" if left else "bad",
        expires=_soonest_end(account, translations),
        owed=_owed(account, translations),
        alerts=_alerts(account, data) if total is not None else None,
    )


def _alerts(account: AccountBalance, data: BillingPageData) -> AlertsView | None:
    alerts = data.usage_alerts.get((account.snapshot.account, account.snapshot.feature))
    if alerts is None or not data.may_change:
        return None
    return AlertsView(alerts.account, _listed(alerts.percents), _listed(alerts.reached))


def _listed(percents: Iterable[int]) -> str:
    return ", ".join(str(percent) for percent in percents)


def _owed(account: AccountBalance, translations: Translations) -> str | None:
    if account.overage is None:
        return None
    return translations.translate(
        "meter.owed",
        units=translations.number(account.overage.quantity),
        amount=translations.price(account.overage.amount),
    )


def owed_with_invoice(data: BillingPageData) -> int:
    """Return what units beyond the included ones add to the next invoice, in minor units of its currency."""
    if data.upcoming_invoice is None:
        return 0
    paid_for = paid_accounts(data.caller, data.team)
    return sum(
        account.overage.amount.amount
        for account in data.balances
        if account.overage is not None
        and account.snapshot.account in paid_for
        and account.overage.amount.currency == data.upcoming_invoice.currency
    )


def _soonest_end(account: AccountBalance, translations: Translations) -> str | None:
    ends = [grant.expires_at for grant in account.grants if grant.expires_at is not None]
    return (
        translations.translate("meter.expires", date=translations.date(min(ends)))
        if ends and account.snapshot.kind != "limit"
        else None
    )


def owner_label(account: str, data: BillingPageData, translations: Translations) -> str:
    """Describe the owner of an account: the customer, the person, the team or a seat."""
    kind, _, identifier = account.partition(":")
    if kind == "customer":
        is_own = identifier == data.caller.customer.token
        return translations.translate("account.customer" if is_own else "account.person")
    return translations.translate("account.team" if kind == "team" else "account.seat")
