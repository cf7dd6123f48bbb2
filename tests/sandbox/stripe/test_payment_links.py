"""Payment links of the stand-in, through Stripe's SDK and the pages."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import stripe

from tests.support.sandbox_stripe.stand_in import StandIn

CARD = {"card_number": "4242424242424242", "email": "eve@example.com"}


def link(stand_in: StandIn, **fields: Any) -> Any:
    api = stand_in.api
    price = api.prices.create(
        {
            "currency": "eur",
            "unit_amount": 900,
            "recurring": {"interval": "month"},
            "product_data": {"name": "S"},
        }
    )
    return api.payment_links.create({"line_items": [{"price": price.id, "quantity": 2}], **fields})


def opened(browser: httpx.Client, url: str) -> str:
    """The checkout page that a visit leads to."""
    answer = browser.get(url)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def test_a_stranger_pays_through_a_link(stand_in: StandIn, browser: httpx.Client) -> None:
    made = link(
        stand_in,
        metadata={"campaign": "fair"},
        after_completion={"type": "redirect", "redirect": {"url": "https://shop.example/thanks"}},
        subscription_data={"metadata": {"from": "link"}},
    )
    page = opened(browser, f"{made.url}?client_reference_id=user_7&prefilled_email=eve%40example.com")
    assert "eve@example.com" in browser.get(page).text
    paid = browser.post(page, data=CARD)
    assert (paid.status_code, paid.headers["location"]) == (303, "https://shop.example/thanks")
    session = stand_in.api.checkout.sessions.list().data[0]
    assert (session.payment_link, session.client_reference_id, session.status) == (
        made.id,
        "user_7",
        "complete",
    )
    assert (session.metadata["campaign"], session.amount_total) == ("fair", 1800)
    subscription = stand_in.api.subscriptions.retrieve(session.subscription)
    assert (subscription.status, subscription.metadata["from"]) == ("active", "link")
    assert stand_in.api.payment_links.retrieve(made.id).active


def test_a_page_that_is_open_when_the_link_is_deactivated_cannot_be_paid(
    stand_in: StandIn, browser: httpx.Client
) -> None:
    made = link(stand_in, inactive_message="Sold out.")
    page = opened(browser, made.url)
    assert not stand_in.api.payment_links.update(made.id, {"active": False}).active
    refused = browser.post(page, data=CARD)
    assert (refused.status_code, "Sold out." in refused.text) == (410, True)
    assert browser.get(made.url).status_code == 410
    assert stand_in.api.subscriptions.list().data == []


def test_the_last_use_deactivates_the_link(stand_in: StandIn, browser: httpx.Client) -> None:
    made = link(stand_in, restrictions={"completed_sessions": {"limit": 1}})
    first, second = opened(browser, made.url), opened(browser, made.url)
    assert browser.post(first, data=CARD).status_code == 303
    assert browser.post(second, data=CARD).status_code == 410
    after = stand_in.api.payment_links.retrieve(made.id)
    assert (after.active, after.restrictions.completed_sessions.count) == (False, 1)
    assert [each.id for each in stand_in.api.payment_links.list({"active": False}).data] == [made.id]


def test_a_link_without_items_or_uses_is_refused(stand_in: StandIn) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        link(stand_in, restrictions={"completed_sessions": {"limit": 0}})
    with pytest.raises(stripe.InvalidRequestError):
        stand_in.api.payment_links.create({"line_items": []})
