"""The billing page's card about automatic recharges: what a customer reads in each of its states."""

import pytest

from services.gateway.pages.i18n import load_translations
from services.gateway.pages.templating import Templates
from services.gateway.pages.view_models import RechargeView
from tallystick.messages.base import Money
from tallystick.messages.consumables import AutoRechargeSnapshot

EUR = "eur"


def card(*, enabled: bool = True, failures: int = 0, suspended: bool = False, language: str = "en") -> str:
    """Render the card of one auto-recharge."""
    rule = AutoRechargeSnapshot(
        account="customer:organization_acme",
        feature="hours",
        version=1,
        enabled=enabled,
        threshold=5,
        recharge_quantity=10,
        max_spend_per_period=None,
        spent=Money(amount=0, currency=EUR),
        failures=failures,
        suspended=suspended,
    )
    view = RechargeView(rule.account, rule.feature, "Hours", "yours", "€15.00", rule, "€0.00", "", EUR)
    translations = load_translations(language)
    return (
        Templates.of("Shop")
        .environment.get_template("billing/recharge.html")
        .render(
            t=translations.translate,
            recharges=[view],
            form_values={},
            may_change=True,
            csrf_token="token",
        )
    )


@pytest.mark.parametrize(
    ("state", "badge"),
    [
        ({}, "On"),
        ({"enabled": False}, "Off"),
        ({"failures": 1}, "The last payment failed"),
        ({"failures": 3, "suspended": True}, "Stopped after failed payments"),
        ({"suspended": True}, "Stopped after too many purchases in an hour"),
    ],
)
def test_the_badge_says_what_became_of_the_last_recharge(state: dict[str, int], badge: str) -> None:
    assert f">{badge}</span>" in card(**state)  # type: ignore[arg-type]


def test_a_failed_recharge_says_what_to_do() -> None:
    assert "Please check your payment method" in card(failures=1)
    assert "prüfen Sie Ihr Zahlungsmittel" in card(failures=1, language="de")
    assert "Please check your payment method" not in card()
