"""Who pays through a link, and whether the payment is accepted."""

from typing import Any

import pytest

from services.subscriptions.domain.payment_links import (
    named_customer,
    read_link_payment,
    refusal,
    stripe_link_parameters,
)
from services.subscriptions.domain.stripe_objects import Malformed

SESSION: dict[str, Any] = {
    "id": "cs_1",
    "payment_link": "plink_1",
    "customer": "cus_1",
    "subscription": "sub_1",
    "invoice": "in_1",
    "client_reference_id": None,
    "metadata": {},
    "customer_details": {"email": "eve@example.com", "name": "Eve"},
}


@pytest.mark.parametrize(
    ("of_link", "reference", "metadata", "named"),
    [
        (None, None, {}, None),
        (None, "user_7", {}, "user_7"),
        (None, "organization_acme", {}, "organization_acme"),
        (None, "7", {}, "user_7"),
        (None, None, {"customer": "8"}, "user_8"),
        (None, "7", {"customer": "8"}, "user_7"),
        ("organization_acme", "7", {"customer": "8"}, "organization_acme"),
        # What is no id of a customer is nobody's.
        (None, "robot_7", {}, None),
        (None, "a/b", {"customer": "8"}, "user_8"),
        (None, "x" * 65, {}, None),
    ],
)
def test_a_customer_is_named_by_the_link_or_the_payment(
    of_link: str | None, reference: str | None, metadata: dict[str, str], named: str | None
) -> None:
    payment = read_link_payment({**SESSION, "client_reference_id": reference, "metadata": metadata})
    assert payment is not None
    assert named_customer(payment, of_link) == named


def test_a_session_of_another_kind_is_no_use_of_a_link() -> None:
    assert read_link_payment({**SESSION, "payment_link": None}) is None
    assert read_link_payment({**SESSION, "customer": None}) is None
    with pytest.raises(Malformed):
        read_link_payment({**SESSION, "id": None})


def test_a_second_plan_and_a_use_too_many_are_given_back() -> None:
    assert refusal(has_plan=True, uses=0, uses_max=None) == "already_subscribed"
    assert refusal(has_plan=False, uses=2, uses_max=2) == "uses_exceeded"
    assert refusal(has_plan=False, uses=1, uses_max=2) is None
    assert refusal(has_plan=False, uses=10**6, uses_max=None) is None


def test_a_link_has_only_what_was_asked_for() -> None:
    lines = [{"price": "price_1", "quantity": 1}]
    plain = stripe_link_parameters(lines, after_url=None, metadata={}, uses=None)
    assert plain == {"line_items": lines, "metadata": {}}
    limited = stripe_link_parameters(lines, after_url="https://a.example", metadata={"k": "v"}, uses=3)
    assert limited["restrictions"] == {"completed_sessions": {"limit": 3}}
    assert limited["after_completion"]["redirect"] == {"url": "https://a.example"}
