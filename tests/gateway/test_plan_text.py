"""What the billing page says of a plan that will end, whatever else is to be said of it."""

import json
from typing import Any

import pytest

from services.gateway.auth.principal import Caller
from services.gateway.pages.billing_data import BillingPageData
from services.gateway.pages.billing_parts import CatalogIndex
from services.gateway.pages.i18n import load_translations
from services.gateway.pages.view_models import plan_view
from tallystick.messages.base import Customer
from tallystick.messages.catalog import Catalog
from tallystick.messages.subscriptions import SubscriptionSnapshot
from tests.support import golden

ENDS: dict[str, Any] = {"cancel_at_period_end": True, "cancel_at": "2030-02-01T00:00:00Z"}
KEPT = "Until then you keep everything."


def says(**fields: Any) -> str:
    """Return what the page says under the name of the plan."""
    known = golden.read("feed.subscriptionV1")["body"]["subscription"] | {"grace_until": None} | fields
    subscription = SubscriptionSnapshot.model_validate_json(json.dumps(known))
    caller = Caller(Customer(type="organization", id="acme"), None, frozenset(), 0)
    catalog = CatalogIndex(Catalog(revision=1, features=[], products=[]))
    data = BillingPageData(
        caller, frozenset(), catalog, None, subscription, None, None, [], [], None, None, {}
    )
    view = plan_view(data, load_translations("en"))
    assert view is not None
    return view.next_date


@pytest.mark.parametrize("status", ["active", "trialing"])
def test_a_plan_that_ends_says_when_and_what_is_kept(status: str) -> None:
    assert says(status=status, **ENDS) == f"Ends on February 1, 2030. {KEPT}"


def test_an_overdue_plan_that_ends_says_both() -> None:
    found = says(status="past_due", grace_until="2030-01-08T00:00:00Z", **ENDS)
    assert found.startswith(
        "The last payment failed. Please update your payment method before January 8, 2030"
    )
    assert found.endswith(f"{KEPT} The plan ends on February 1, 2030.")


@pytest.mark.parametrize(
    ("fields", "first"),
    [
        ({"status": "paused"}, "Paused. Nothing is charged, and nothing can be used."),
        ({"status": "past_due", "restricted": True}, "Payment is overdue, so nothing can be used for now."),
        ({"status": "unpaid", "restricted": True}, "Payment is overdue, so nothing can be used for now."),
    ],
)
def test_a_plan_that_gives_nothing_now_does_not_say_that_all_is_kept(
    fields: dict[str, Any], first: str
) -> None:
    found = says(**fields, **ENDS)
    assert found.startswith(first)
    assert found.endswith(" The plan ends on February 1, 2030.")
    assert KEPT not in found
    assert "ends on" not in says(**fields, cancel_at_period_end=False, cancel_at=None)
