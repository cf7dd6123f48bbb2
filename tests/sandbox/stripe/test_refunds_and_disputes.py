"""Refunds, disputes and credit notes of the stand-in, through Stripe's SDK and the pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import stripe

from tests.support.sandbox_stripe.billing_world import World, running
from tests.support.sandbox_stripe.stand_in import StandIn


@pytest.fixture(scope="module")
def module_stand_in() -> Iterator[StandIn]:
    """The stand-in of this module."""
    with running() as stand_in:
        yield stand_in


@pytest.fixture
def world(module_stand_in: StandIn) -> World:
    """A customer with a card."""
    return World(module_stand_in)


def paid_charge(world: World, card: str = "pm_card_visa", amount: int = 10000) -> Any:
    world.use_card(card)
    world.subscribe((world.price(amount), 1))
    return world.v1.charges.list({"customer": world.customer}).data[0]


def types(world: World) -> list[str]:
    """The types of this customer's events, oldest first."""
    events = reversed(world.v1.events.list({"limit": 100}).data)
    return [
        event.type
        for event in events
        if event.type.startswith(("refund.", "charge.", "credit_note.")) and event.type != "charge.succeeded"
        and world.customer in str(event.data)
    ]  # fmt: skip


def about(world: World, object_id: str) -> list[str]:
    """The types of the events about one object, oldest first."""
    events = reversed(world.v1.events.list({"limit": 100}).data)
    return [event.type for event in events if event.data.object["id"] == object_id]


def test_partial_refunds_add_up_to_what_was_paid(world: World) -> None:
    charge = paid_charge(world)
    first = world.v1.refunds.create({"charge": charge.id, "amount": 2500, "reason": "duplicate"})
    assert (first.status, first.amount, first.reason) == ("succeeded", 2500, "duplicate")
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount"):
        world.v1.refunds.create({"payment_intent": charge.payment_intent, "amount": 7501})
    world.v1.refunds.create({"payment_intent": charge.payment_intent})
    after = world.v1.charges.retrieve(charge.id)
    assert (after.amount_refunded, after.refunded) == (10000, True)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        world.v1.refunds.create({"charge": charge.id})
    assert refused.value.code == "charge_already_refunded"
    assert types(world) == ["refund.created", "charge.refunded"] * 2
    listed = world.v1.refunds.list({"payment_intent": charge.payment_intent}).data
    assert [refund.amount for refund in listed] == [7500, 2500]


def test_a_pending_refund_is_settled_on_the_payments_page(world: World, browser: httpx.Client) -> None:
    charge = paid_charge(world, "pm_card_pendingRefund")
    page = f"{world.url}/payments/{charge.id}"
    assert browser.post(page, data={"refund": "1", "amount": "4000"}).status_code == 303
    made = world.v1.refunds.list({"charge": charge.id}).data[0]
    assert (made.status, world.v1.charges.retrieve(charge.id).amount_refunded) == ("pending", 4000)
    assert browser.post(page, data={"succeed": made.id}).status_code == 303
    assert world.v1.refunds.retrieve(made.id).status == "succeeded"
    browser.post(page, data={"fail": made.id})
    failed = world.v1.refunds.retrieve(made.id)
    assert (failed.status, failed.failure_reason) == ("failed", "expired_or_canceled_card")
    assert world.v1.charges.retrieve(charge.id).amount_refunded == 0
    assert "refund.failed" in types(world)
    assert "Refunds" in browser.get(page).text
    assert browser.post(page, data={"refund": "1", "amount": "10001"}).status_code == 400


def test_a_disputed_card_takes_the_money_back_until_the_dispute_is_won(world: World) -> None:
    charge = paid_charge(world, "pm_card_createDispute")
    dispute = world.v1.disputes.list({"payment_intent": charge.payment_intent}).data[0]
    assert (dispute.status, dispute.reason, dispute.amount) == ("needs_response", "fraudulent", 10000)
    assert world.v1.charges.retrieve(charge.id).disputed
    with pytest.raises(stripe.InvalidRequestError) as refused:
        world.v1.refunds.create({"charge": charge.id})
    assert refused.value.code == "charge_disputed"
    evidence = {"uncategorized_text": "winning_evidence"}
    assert world.v1.disputes.update(dispute.id, {"evidence": evidence}).status == "won"
    with pytest.raises(stripe.InvalidRequestError) as closed:
        world.v1.disputes.close(dispute.id)
    assert closed.value.code == "dispute_closed"
    assert about(world, dispute.id) == [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.updated",
        "charge.dispute.closed",
        "charge.dispute.funds_reinstated",
    ]


def test_a_dispute_is_made_and_lost_on_the_payments_page(world: World, browser: httpx.Client) -> None:
    charge = paid_charge(world)
    page = f"{world.url}/payments/{charge.payment_intent}"
    assert "Dispute" in browser.get(page).text
    browser.post(page, data={"dispute": "1", "reason": "product_not_received"})
    dispute = world.v1.disputes.list({"charge": charge.id}).data[0]
    assert dispute.status == "needs_response"
    browser.post(page, data={"lose": "1"})
    assert world.v1.disputes.retrieve(dispute.id).status == "lost"
    assert browser.post(page, data={"win": "1"}).status_code == 400
    assert about(world, dispute.id) == [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.closed",
    ]


def test_an_inquiry_takes_nothing_and_ends_without_a_decision(world: World) -> None:
    charge = paid_charge(world, "pm_card_createDisputeInquiry")
    inquiry = world.v1.disputes.list({"charge": charge.id}).data[0]
    assert (inquiry.status, inquiry.is_charge_refundable) == ("warning_needs_response", True)
    world.v1.refunds.create({"charge": charge.id, "amount": 100})
    evidence = {"uncategorized_text": "winning_evidence"}
    assert world.v1.disputes.update(inquiry.id, {"evidence": evidence}).status == "warning_closed"


def test_a_credit_note_lowers_an_open_invoice_and_refunds_a_paid_one(world: World) -> None:
    sent = world.subscribe((world.price(10000), 1), collection_method="send_invoice", days_until_due=14)
    invoice = world.v1.invoices.finalize_invoice(sent.latest_invoice)
    note = world.v1.credit_notes.create({"invoice": invoice.id, "amount": 3000})
    assert (note.type, note.pre_payment_amount, note.number) == (
        "pre_payment",
        3000,
        f"{invoice.number}-CN-01",
    )
    owed = world.v1.invoices.retrieve(invoice.id)
    assert (owed.amount_due, owed.pre_payment_credit_notes_amount) == (7000, 3000)
    world.v1.credit_notes.void_credit_note(note.id)
    assert world.v1.invoices.retrieve(invoice.id).amount_due == 10000
    world.v1.invoices.pay(invoice.id)

    with pytest.raises(stripe.InvalidRequestError, match="must equal"):
        world.v1.credit_notes.create({"invoice": invoice.id, "amount": 2000, "refund_amount": 500})
    lines = [{"type": "custom_line_item", "description": "Sorry", "quantity": 2, "unit_amount": 1000}]
    note = world.v1.credit_notes.create(
        {"invoice": invoice.id, "lines": lines, "refund_amount": 1500, "credit_amount": 500}
    )
    assert (note.type, note.post_payment_amount) == ("post_payment", 2000)
    assert note.refunds[0].amount_refunded == 1500
    assert world.v1.refunds.retrieve(note.refunds[0].refund).amount == 1500
    assert world.v1.customers.retrieve(world.customer).balance == -500
    assert world.v1.invoices.retrieve(invoice.id).post_payment_credit_notes_amount == 2000
    assert [name for name in types(world) if name.startswith("credit_note")] == [
        "credit_note.created",
        "credit_note.voided",
        "credit_note.created",
    ]


def test_a_credit_note_of_all_that_is_owed_pays_the_invoice(world: World) -> None:
    sent = world.subscribe((world.price(10000), 1), collection_method="send_invoice", days_until_due=14)
    invoice = world.v1.invoices.finalize_invoice(sent.latest_invoice)
    world.v1.credit_notes.create({"invoice": invoice.id, "amount": 10000})
    paid = world.v1.invoices.retrieve(invoice.id)
    assert (paid.status, paid.amount_due, paid.amount_paid) == ("paid", 0, 0)
