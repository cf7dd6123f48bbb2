"""The usage meters of the billing page: how much of how much."""

from datetime import UTC, datetime

import pytest

from services.gateway.auth.principal import Caller
from services.gateway.pages.billing_data import BillingPageData
from services.gateway.pages.billing_parts import AccountBalance, CatalogIndex
from services.gateway.pages.i18n import load_translations
from services.gateway.pages.meters import Meter, meters, owed_with_invoice
from tallystick.messages.base import Customer, Money
from tallystick.messages.catalog import Catalog
from tallystick.messages.consumables import BalanceSnapshot, GrantSnapshot, GrantSource, OverageOwed
from tallystick.messages.subscriptions import ComingInvoice

ACME = Customer(type="organization", id="acme")


def balance(granted: int, consumed: int, expired: int = 0) -> BalanceSnapshot:
    """A balance of hours of the customer's own account."""
    return BalanceSnapshot(
        consumable_id="customer_organization_acme.hours",
        version=1,
        account="customer:organization_acme",
        feature="hours",
        kind="consumable",
        granted=granted,
        consumed=consumed,
        reserved=0,
        expired=expired,
        remaining=granted - consumed - expired,
    )


def grant(quantity: int, remaining: int) -> GrantSnapshot:
    """A grant with units left."""
    return GrantSnapshot(
        grant_id="grant_1",
        version=1,
        account="customer:organization_acme",
        feature="hours",
        quantity=quantity,
        remaining=remaining,
        expires_at=None,
        priority=100,
        source=GrantSource(kind="manual"),
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def page(*accounts: AccountBalance, coming: ComingInvoice | None = None) -> BillingPageData:
    """A page that shows nothing else."""
    caller = Caller(ACME, None, frozenset(), 0)
    catalog = CatalogIndex(Catalog(revision=1, features=[], products=[]))
    return BillingPageData(
        caller, frozenset(), catalog, None, None, None, None, list(accounts), [], None, coming, {}
    )


def meter(account: AccountBalance) -> Meter:
    """The meter of an account."""
    [found] = meters(page(account), load_translations("en"))
    return found


@pytest.mark.parametrize(
    ("total", "text", "tone"),
    [
        # 100 bought and used up, 420 of the plan with 29 left.
        (520, "491 of 520 used, 29 left", "wait"),
        # A worker that does not tell the total yet.
        (None, "391 of 420 used, 29 left", "wait"),
    ],
)
def test_grants_that_are_used_up_are_part_of_the_whole(total: int | None, text: str, tone: str) -> None:
    found = meter(AccountBalance(balance(1_000, 911, 60), [grant(420, 29)], total))
    assert (found.text, found.tone, found.expires) == (text, tone, None)


def test_what_is_owed_stands_beside_the_meter() -> None:
    owed = OverageOwed(quantity=5, amount=Money(amount=1_000, currency="eur"))
    found = meter(AccountBalance(balance(15, 15), [], 10, owed))
    assert (found.text, found.tone) == ("10 of 10 used, 0 left", "bad")
    assert found.owed == "5 beyond the included ones: €10.00 on the next invoice"
    assert meter(AccountBalance(balance(10, 10), [], 10)).owed is None


@pytest.mark.parametrize(
    ("account", "currency", "added"),
    [
        ("customer:organization_acme", "eur", 1_000),
        # The team of another customer pays for it, or it is on an invoice in another currency.
        ("team:team_1", "eur", 0),
        ("customer:organization_acme", "usd", 0),
    ],
)
def test_the_next_invoice_says_what_units_beyond_add(account: str, currency: str, added: int) -> None:
    owed = OverageOwed(quantity=5, amount=Money(amount=1_000, currency=currency))
    coming = ComingInvoice(
        subscription_id=None, currency="eur", total=5_000, amount_due=5_000, due_at=None, lines=[]
    )
    held = AccountBalance(balance(15, 15).model_copy(update={"account": account}), [], 10, owed)
    assert owed_with_invoice(page(held, AccountBalance(balance(10, 3), [], 10), coming=coming)) == added
    assert owed_with_invoice(page(held)) == 0
