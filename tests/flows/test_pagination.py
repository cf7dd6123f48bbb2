"""Pagination: newest first, page by page, and invalid cursors."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tallystick.messages import subscriptions as m
from tallystick.messages import webhooks as w
from tallystick.messages.base import Question
from tests.support.shop import Shop
from tests.support.shop_steps import subscribe_for_free


async def pages(shop: Shop, question: Question[Any]) -> list[list[Any]]:
    """All pages of a listing, from the first to the last."""
    found, cursor = [], None
    while True:
        page = await shop.billing.ask(question.model_copy(update={"cursor": cursor}))
        found.append(list(page.items))
        cursor = page.next_cursor
        if cursor is None:
            return found
        assert len(found) < 100


async def test_subscriptions_page_by_page(shop: Shop) -> None:
    # Five, one after another, of which the last goes on: pages of 2, 2 and 1, newest first.
    await shop.register()
    begun: list[str] = []
    for _ in range(5):
        if begun:
            await shop.cancel(begun[-1])
        begun.append((await shop.billing.call(subscribe_for_free(shop))).subscription.subscription_id)
    listed = await pages(shop, m.ListSubscriptions(customer=shop.acme, limit=2))
    assert [len(page) for page in listed] == [2, 2, 1]
    assert [item.subscription_id for page in listed for item in page] == begun[::-1]
    ended = await pages(shop, m.ListSubscriptions(customer=shop.acme, status="canceled", limit=3))
    assert [len(page) for page in ended] == [3, 1]
    running = await shop.billing.ask(m.ListSubscriptions(customer=shop.acme, status="active"))
    assert [item.subscription_id for item in running.items] == [begun[-1]]
    # A page that is exactly full has no next one.
    assert [len(page) for page in await pages(shop, m.ListSubscriptions(customer=shop.acme, limit=5))] == [5]


async def test_invoices_and_entitlements_page_by_page(shop: Shop) -> None:
    # Business: 7 features; three months make three invoices.
    clock = await shop.on_a_clock()
    bought = await shop.buys("business_monthly")
    for month in range(2):
        current = await shop.subscription()
        shop.advance(clock, current.current_period_end)
        await shop.all_applied()
        page = await shop.billing.ask(m.ListInvoices(customer=shop.acme))
        assert len(page.items) == month + 2
    invoices = await pages(shop, m.ListInvoices(customer=shop.acme, limit=2))
    assert [len(page) for page in invoices] == [2, 1]
    flat = [invoice for page in invoices for invoice in page]
    assert [invoice.created_at for invoice in flat] == sorted(
        (invoice.created_at for invoice in flat), reverse=True
    )
    assert {invoice.subscription_id for invoice in flat} == {bought.subscription_id}
    features = await pages(shop, m.ListEntitlements(customer=shop.acme, limit=3))
    assert [len(page) for page in features] == [3, 3, 1]
    names = [entitlement.feature for page in features for entitlement in page]
    assert names == sorted(set(names))


async def test_stored_events_page_by_page(shop: Shop) -> None:
    since = datetime.now(UTC)
    await shop.register()
    await shop.buys("essential_monthly")
    await shop.all_applied()
    one = await shop.billing.ask(w.ListEvents(since=since, limit=200))
    assert one.next_cursor is None
    assert {event.status for event in one.items} == {"applied", "ignored"}
    listed = await pages(shop, w.ListEvents(since=since, limit=3))
    assert [event for page in listed for event in page] == list(one.items)
    assert [event.received_at for event in one.items] == sorted(
        (event.received_at for event in one.items), reverse=True
    )
    paid = await shop.billing.ask(w.ListEvents(since=since, type="invoice.paid"))
    assert [event.type for event in paid.items] == ["invoice.paid"]


@pytest.mark.parametrize(
    "fields", [{"limit": 0}, {"limit": 201}, {"cursor": "x" * 201}], ids=["none", "too many", "too long"]
)
async def test_a_page_of_the_wrong_size_is_refused(shop: Shop, fields: dict[str, Any]) -> None:
    question = m.ListSubscriptions.model_construct(**fields)
    assert (await shop.refused(question))[0] == "invalid_message"


@pytest.mark.parametrize("cursor", ["", "not a cursor", "AAAA", "WyJhIiwiYiJd", "é"])
async def test_a_made_up_cursor_is_refused(shop: Shop, cursor: str) -> None:
    for question in (
        m.ListSubscriptions(customer=shop.acme, cursor=cursor),
        m.ListInvoices(customer=shop.acme, cursor=cursor),
        m.ListEntitlements(customer=shop.acme, cursor=cursor),
        w.ListEvents(cursor=cursor),
    ):
        assert (await shop.refused(question))[0] == "invalid_message", question
