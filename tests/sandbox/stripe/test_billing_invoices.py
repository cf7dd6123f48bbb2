"""Invoices made by hand, their pages, other currencies, and a state that survives a restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import stripe

from sandbox.stripe.account import Account
from sandbox.stripe.customers import create_customer
from sandbox.stripe.prices import create_price
from sandbox.stripe.resources import register
from sandbox.stripe.server import make_account
from sandbox.stripe.subscriptions import create_subscription
from tests.support.sandbox_stripe.billing_world import World, at, running
from tests.support.sandbox_stripe.stand_in import StandIn


@pytest.fixture(scope="module")
def served() -> Iterator[StandIn]:
    with running() as found:
        yield found


@pytest.fixture
def world(served: StandIn) -> World:
    return World(served)


def one_off(world: World, amount: int, **more: object) -> str:
    """A draft invoice with one item."""
    draft: str = world.v1.invoices.create({"customer": world.customer, "currency": "eur", **more}).id
    world.v1.invoice_items.create(
        {
            "customer": world.customer,
            "invoice": draft,
            "amount": amount,
            "currency": "eur",
            "description": "Setup",
        }
    )
    return draft


def test_a_one_off_charge_is_drafted_finalized_and_paid(world: World) -> None:
    draft = one_off(world, 4900, metadata={"reference": "order-7"})
    finalized = world.v1.invoices.finalize_invoice(draft)
    assert (finalized.status, finalized.amount_due, finalized.billing_reason) == ("open", 4900, "manual")
    paid = world.v1.invoices.pay(draft)

    assert (paid.status, paid.amount_paid, paid.attempt_count) == ("paid", 4900, 1)
    assert paid.metadata.to_dict() == {"reference": "order-7"}
    assert paid.lines.data[0].parent.type == "invoice_item_details"
    with pytest.raises(stripe.InvalidRequestError, match="already paid"):
        world.v1.invoices.pay(draft)


def test_a_declined_one_off_charge_says_why_and_stays_open(world: World) -> None:
    world.use_card("pm_card_chargeCustomerFail")
    draft = one_off(world, 4900)
    with pytest.raises(stripe.CardError) as caught:
        world.v1.invoices.pay(draft)

    error = caught.value
    assert (error.http_status, error.code) == (402, "card_declined")
    assert error.error is not None
    assert error.error.decline_code == "generic_decline"
    kept = world.v1.invoices.retrieve(draft)
    assert (kept.status, kept.attempt_count, kept.next_payment_attempt) == ("open", 1, None)
    paid = world.v1.invoices.pay(draft, {"payment_method": "pm_card_visa"})
    assert paid.status == "paid"


def test_numbers_count_up_for_each_customer(world: World) -> None:
    numbers = [world.v1.invoices.finalize_invoice(one_off(world, 100)).number for _ in range(3)]

    assert [number.rsplit("-", 1)[1] for number in numbers] == ["0001", "0002", "0003"]
    assert len({number.rsplit("-", 1)[0] for number in numbers}) == 1


def test_an_open_invoice_can_be_voided_or_given_up(world: World) -> None:
    first, second = one_off(world, 100), one_off(world, 200)
    with pytest.raises(stripe.InvalidRequestError):
        world.v1.invoices.void_invoice(first)
    for draft in (first, second):
        world.v1.invoices.finalize_invoice(draft)
    voided = world.v1.invoices.void_invoice(first)
    lost = world.v1.invoices.mark_uncollectible(second)

    assert (voided.status, voided.status_transitions.voided_at) == ("void", at("2026-01-01"))
    assert lost.status == "uncollectible"
    with pytest.raises(stripe.InvalidRequestError, match="void"):
        world.v1.invoices.pay(first)
    assert world.v1.invoices.pay(second).status == "paid"


def test_a_draft_can_be_deleted_and_its_items_wait_again(world: World) -> None:
    item = world.v1.invoice_items.create({"customer": world.customer, "amount": 70, "currency": "eur"})
    draft = world.v1.invoices.create(
        {"customer": world.customer, "pending_invoice_items_behavior": "include", "auto_advance": False}
    )
    assert draft.total == 70
    world.v1.invoices.delete(draft.id)
    assert world.v1.invoice_items.retrieve(item.id).invoice is None
    world.v1.invoice_items.delete(item.id)
    assert world.v1.invoice_items.list({"customer": world.customer}).data == []


def test_items_wait_for_the_next_invoice_of_a_subscription(world: World) -> None:
    world.subscribe((world.price(1000), 1))
    world.v1.invoice_items.create({"customer": world.customer, "amount": 250, "currency": "eur"})
    world.advance("2026-02-01T02:00:00")

    assert world.amounts(world.invoices()[-1]) == [250, 1000]


def test_auto_advance_finalizes_and_charges_after_an_hour(world: World) -> None:
    one_off(world, 300, auto_advance=True)
    world.advance("2026-01-01T00:59:59")
    assert world.totals() == [("draft", 300)]
    world.advance("2026-01-01T01:00:00")
    assert world.totals() == [("paid", 300)]


def test_the_hosted_page_shows_the_invoice_and_takes_a_card(served: StandIn, browser: httpx.Client) -> None:
    world = World(served, card=None)
    invoice = world.v1.invoices.finalize_invoice(one_off(world, 1234))
    shown = browser.get(invoice.hosted_invoice_url)
    assert shown.status_code == 200
    assert "Setup" in shown.text
    assert "€12.34" in shown.text
    refused = browser.post(invoice.hosted_invoice_url, data={"card_number": "4000000000000341"})
    assert "declined" in refused.text
    answer = browser.post(invoice.hosted_invoice_url, data={"card_number": "4242 4242 4242 4242"})

    assert answer.status_code == 303
    assert world.totals() == [("paid", 1234)]
    assert "€12.34" in browser.get(invoice.invoice_pdf).text


@pytest.mark.parametrize(
    ("currency", "amount", "shown"),
    [("jpy", 500, "3 × Team (at ¥500 / month)"), ("kwd", 1500, "3 × Team (at KWD 1.500 / month)")],
)
def test_zero_and_three_decimal_currencies_are_billed(
    served: StandIn, currency: str, amount: int, shown: str
) -> None:
    world = World(served)
    subscription = world.subscribe((world.price(amount, currency=currency), 3))
    world.advance("2026-01-16T12:00:00")
    world.change(subscription, 1, proration_behavior="always_invoice")

    first, second = world.invoices()
    assert (first.total, first.lines.data[0].description) == (3 * amount, shown)
    assert world.amounts(second) == [-3 * amount // 2, amount // 2]


def test_a_customer_keeps_one_currency(world: World) -> None:
    world.subscribe((world.price(1000), 1))
    with pytest.raises(stripe.InvalidRequestError, match="combine currencies"):
        world.subscribe((world.price(1000, currency="usd"), 1))


def test_a_pause_is_credited_and_resumed_within_the_cycle(world: World) -> None:
    subscription = world.subscribe((world.price(3100), 1))
    world.advance("2026-01-11")
    paused = world.v1.subscriptions.pause(subscription.id)
    assert (paused.status, paused.status_details.paused.subscription.type) == ("paused", "pause_requested")
    world.advance("2026-01-21")
    resumed = world.v1.subscriptions.resume(
        subscription.id,
        {"billing_cycle_anchor": {"type": "unchanged"}, "proration_behavior": "create_prorations"},
    )

    # 21 of 31 days unused, then 11 of 31 days to go: -2100 and 1100.
    assert resumed.status == "active"
    assert resumed["items"].data[0].current_period_end == at("2026-02-01")
    waiting = world.v1.invoice_items.list({"customer": world.customer, "pending": True}).data
    assert sorted(item.amount for item in waiting) == [-2100, 1100]


def test_deleting_the_customer_ends_the_subscription(world: World) -> None:
    subscription = world.subscribe((world.price(1000), 1))
    world.v1.customers.delete(world.customer)

    assert world.subscription(subscription).status == "canceled"


def test_an_archived_price_shows_on_the_items_that_have_it(world: World) -> None:
    price = world.price(1000)
    subscription = world.subscribe((price, 1))
    world.v1.prices.update(price, {"active": False})

    assert world.subscription(subscription)["items"].data[0].price.active is False
    with pytest.raises(stripe.InvalidRequestError, match="inactive"):
        world.subscribe((price, 1))


def test_a_restart_goes_on_with_what_is_due(tmp_path: Path) -> None:
    path = str(tmp_path / "stripe.sqlite")

    def start(now: int) -> Account:
        account = make_account(path, "http://127.0.0.1")
        account._wall_clock = lambda: now  # the only way to live a month in real time
        register(account)
        return account

    account = start(at("2026-01-01"))
    product = {"id": "prod_x", "object": "product", "name": "Team", "active": True}
    with account.unit():
        account.insert(product)
        customer = create_customer(account, {"email": "ada@example.com"})
        price = create_price(
            account,
            {"product": "prod_x", "currency": "eur", "unit_amount": 900, "recurring": {"interval": "month"}},
        )
        made = create_subscription(
            account,
            {
                "customer": customer["id"],
                "items": [{"price": price["id"]}],
                "collection_method": "send_invoice",
                "days_until_due": 7,
            },
        )
    again = start(at("2026-02-01T03:00:00"))
    with again.unit():
        again.run_due(at("2026-02-01T03:00:00"))
    with again.unit():
        again.run_due(at("2026-02-01T05:00:00"))

    found = again.get("subscription", made["id"])
    assert found["items"]["data"][0]["current_period_end"] == at("2026-03-01")
    assert [invoice["total"] for invoice in again.all("invoice")] == [900, 900]
