"""Refunds by command and in Stripe's dashboard, and disputes, with the Stripe stand-in."""

import asyncio
import random
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from services.subscriptions.invariants import RefundsAddUp
from shared.operations.audit import LiveSystem
from tallystick.messages import subscriptions as m
from tallystick.subjects import Subjects
from tests.support.worlds.plan_changes import Crew
from tests.support.worlds.subscriptions import ACME, gapless

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


class Refunds:
    """A customer who has paid 98.00 for a month of two crew seats."""

    def __init__(self, crew: Crew) -> None:
        self.crew, self.world = crew, crew.world

    async def pays(self, card: str = "pm_card_visa") -> dict[str, Any]:
        """Begin a subscription whose first invoice is paid, and return the invoice."""
        await self.crew.begins("solo_monthly", 1)
        return await self.invoice()

    async def invoice(self) -> dict[str, Any]:
        return await self.crew.newest_invoice()

    def refund(self, invoice: dict[str, Any], amount: Any = None, **fields: Any) -> m.RefundInvoice:
        return m.RefundInvoice(
            command_id=self.world.command_id(),
            invoice_id=invoice["invoice_id"],
            amount=amount,
            reason=fields.pop("reason", "asked for it"),
            **fields,
        )

    async def listed(self) -> list[tuple[int, str]]:
        page = await self.world.asks(m.ListRefunds(customer=ACME))
        return [(refund["amount"]["amount"], refund["status"]) for refund in page["items"]]

    async def told(self) -> list[tuple[str, int, bool]]:
        """The invoice's events from its payment on."""
        events = await self.world.told("invoice")
        assert gapless(events, "invoice", "invoice_id")
        names = [name for name, _ in events]
        return [
            (name, body["invoice"]["amount_refunded"], body["invoice"]["disputed"])
            for name, body in events[names.index("paidV1") + 1 :]
        ]

    def page(self, invoice: dict[str, Any]) -> str:
        """The address of the payment in Stripe's dashboard."""
        return f"{self.world.stand_in.url}/payments/{self.charge(invoice)}"

    def charge(self, invoice: dict[str, Any]) -> str:
        v1 = self.world.stripe.v1
        paid: Any = v1.invoice_payments.list({"invoice": invoice["stripe_invoice_id"]}).data[0]
        return str(v1.payment_intents.retrieve(paid.payment.payment_intent).latest_charge)

    def does_by_hand(self, invoice: dict[str, Any], **fields: str) -> None:
        assert httpx.post(self.page(invoice), data=fields).status_code == 303


@pytest.fixture
def refunds(crew: Crew) -> Refunds:
    """A customer with a paid invoice."""
    return Refunds(crew)


async def test_partial_refunds_add_up_to_what_was_paid(refunds: Refunds) -> None:
    invoice = await refunds.pays()
    command = refunds.refund(invoice, 1000, requested_by="ada")
    made = (await refunds.world.does(command))["refund"]
    assert (made["amount"], made["status"], made["reason"], made["requested_by"]) == (
        {"amount": 1000, "currency": "eur"},
        "succeeded",
        "asked for it",
        "ada",
    )
    assert await refunds.world.does(command) == {"refund": made}
    code, details = await refunds.world.refuses(refunds.refund(invoice, 3901))
    assert (code, details) == ("amount_too_large", {"left": 3900, "amount": 3901})
    money = m.Charge(amount=900, currency="eur")
    await refunds.world.does(refunds.refund(invoice, money, reason="duplicate"))
    await refunds.world.does(refunds.refund(invoice))
    code, _ = await refunds.world.refuses(refunds.refund(invoice))
    assert code == "already_refunded"

    assert (await refunds.invoice())["amount_refunded"] == 4900
    assert await refunds.listed() == [(3000, "succeeded"), (900, "succeeded"), (1000, "succeeded")]
    await refunds.world.catches_up()
    assert await refunds.told() == [
        ("refundedV1", 1000, False),
        ("refundedV1", 1900, False),
        ("refundedV1", 4900, False),
    ]
    in_stripe = refunds.world.stripe.v1.refunds.list({"charge": refunds.charge(invoice)}).data
    assert [(refund.amount, refund.reason) for refund in reversed(in_stripe)] == [
        (1000, None),
        (900, "duplicate"),
        (3000, None),
    ]


async def test_the_audit_finds_refunds_that_do_not_add_up(refunds: Refunds) -> None:
    invoice = await refunds.pays()
    await refunds.world.does(refunds.refund(invoice, 1000))
    bound = refunds.world.bound
    async with await psycopg.AsyncConnection.connect(
        bound.owner_url, autocommit=True, row_factory=dict_row
    ) as database:
        live = LiveSystem(database, None, Subjects())  # type: ignore[arg-type] # it asks the database alone
        assert await RefundsAddUp().violations(live) == []
        await database.execute("UPDATE subscriptions.refunds SET amount = 4901")
        [found] = await RefundsAddUp().violations(live)
        assert "1000 refunded, its refunds are 4901, 4901 with those under way, of 4900 paid" in found


async def test_two_refunds_at_once_add_up_to_no_more_than_was_paid(refunds: Refunds) -> None:
    invoice = await refunds.pays()
    commands = [refunds.refund(invoice, 3000), refunds.refund(invoice, 3000)]
    outcomes = await asyncio.gather(*(refunds.world.bound.handle(command) for command in commands))
    assert sorted(outcome.status for outcome in outcomes) == ["rejected", "succeeded"]
    refused = next(outcome for outcome in outcomes if outcome.status == "rejected")
    assert refused.error is not None
    assert refused.error.code == "amount_too_large"
    assert refunds.world.stripe.v1.charges.retrieve(refunds.charge(invoice)).amount_refunded == 3000
    assert (await refunds.invoice())["amount_refunded"] == 3000


async def test_a_refund_made_in_the_dashboard_meanwhile_is_seen_by_stripe(refunds: Refunds) -> None:
    invoice = await refunds.pays()
    refunds.does_by_hand(invoice, refund="1", amount="4000")
    code, _ = await refunds.world.refuses(refunds.refund(invoice, 1000))
    assert code == "amount_too_large"
    # Nothing stays reserved, so that the rest can be refunded.
    assert await refunds.listed() == []
    await refunds.world.does(refunds.refund(invoice, 900))
    code, _ = await refunds.world.refuses(refunds.refund(invoice, 1))
    assert code == "already_refunded"
    await refunds.world.catches_up()
    assert (await refunds.invoice())["amount_refunded"] == 4900
    assert sorted(await refunds.listed()) == [(900, "succeeded"), (4000, "succeeded")]


@pytest.mark.parametrize("seed", range(2))
async def test_refunds_in_the_dashboard_are_followed_in_any_order(refunds: Refunds, seed: int) -> None:
    invoice = await refunds.pays()
    refunds.does_by_hand(invoice, refund="1", amount="1000", reason="duplicate")
    refunds.does_by_hand(invoice, refund="1", amount="500")
    events = refunds.world.new_events() * 2
    random.Random(seed).shuffle(events)
    await refunds.world.hears(*events)
    assert (await refunds.invoice())["amount_refunded"] == 1500
    assert sorted(await refunds.listed()) == [(500, "succeeded"), (1000, "succeeded")]
    told = await refunds.told()
    assert (told[-1], {name for name, _, _ in told}) == (("refundedV1", 1500, False), {"refundedV1"})
    assert {report["status"] for report in await refunds.world.reports()} <= {"applied"}


async def test_a_refund_that_fails_is_taken_out_again(refunds: Refunds) -> None:
    invoice = await refunds.pays()
    made = (await refunds.world.does(refunds.refund(invoice, 2000)))["refund"]
    refunds.does_by_hand(invoice, fail=made["stripe_refund_id"])
    await refunds.world.catches_up()
    assert (await refunds.invoice())["amount_refunded"] == 0
    assert await refunds.listed() == [(2000, "failed")]
    assert await refunds.told() == [("refundedV1", 2000, False), ("updatedV1", 0, False)]
    await refunds.world.does(refunds.refund(invoice, 4900))


async def test_a_refund_may_end_the_subscription(refunds: Refunds) -> None:
    invoice = await refunds.pays()
    await refunds.world.does(refunds.refund(invoice, end_subscription=True))
    ended = await refunds.world.subscription()
    assert (ended["status"], ended["ended_at"] is not None) == ("canceled", True)
    await refunds.world.catches_up()
    names = await refunds.world.names("subscription")
    assert names.count("canceledV1") == 1
    # Asked again, for a subscription that has ended.
    code, _ = await refunds.world.refuses(refunds.refund(invoice, end_subscription=True))
    assert code == "already_refunded"


async def test_what_is_not_paid_or_not_of_stripe_is_not_refunded(refunds: Refunds) -> None:
    crew, world = refunds.crew, refunds.world
    await crew.begins("solo_monthly", 1, collection_method="send_invoice", days_until_due=14)
    v1 = world.stripe.v1
    theirs = v1.invoices.list({"customer": crew.theirs}).data[0].id
    v1.invoices.finalize_invoice(theirs)
    await world.catches_up()
    code, details = await world.refuses(refunds.refund(await refunds.invoice()))
    assert (code, details) == ("invoice_not_paid", {"status": "open"})
    v1.invoices.pay(theirs, {"paid_out_of_band": True})
    await world.catches_up()
    code, _ = await world.refuses(refunds.refund(await refunds.invoice()))
    assert code == "invoice_not_paid"
    code, _ = await world.refuses(refunds.refund({"invoice_id": "inv_01jk2m3n4p5q6r7s8t9v0w1x2y"}))
    assert code == "not_found"
    money = m.Charge(amount=900, currency="usd")
    code, details = await world.refuses(refunds.refund(await refunds.invoice(), money))
    assert (code, "eur" in str(details)) == ("invalid_message", True)


@pytest.mark.parametrize(("outcome", "held"), [("win", False), ("lose", True)])
async def test_a_dispute_is_followed_to_its_end(refunds: Refunds, outcome: str, held: bool) -> None:
    invoice = await refunds.pays()
    refunds.does_by_hand(invoice, dispute="1", reason="product_not_received")
    await refunds.world.catches_up()
    disputed = await refunds.invoice()
    assert (disputed["disputed"], disputed["amount_disputed"]) == (True, 4900)
    code, _ = await refunds.world.refuses(refunds.refund(invoice, 100))
    assert code == "invoice_disputed"
    [dispute] = (await refunds.world.asks(m.ListDisputes(status="open")))["items"]
    assert (dispute["reason"], dispute["amount"]["amount"], dispute["closed_at"]) == (
        "product_not_received",
        4900,
        None,
    )
    refunds.does_by_hand(invoice, **{outcome: "1"})
    await refunds.world.catches_up()
    after = await refunds.invoice()
    assert (after["disputed"], after["amount_disputed"]) == (held, 4900 if held else 0)
    assert await refunds.told() == [("disputedV1", 0, True), ("disputeClosedV1", 0, held)]
    [dispute] = (await refunds.world.asks(m.ListDisputes(customer=ACME)))["items"]
    assert (dispute["status"], dispute["closed_at"] is not None) == (
        {"win": "won", "lose": "lost"}[outcome],
        True,
    )


@pytest.mark.parametrize("seed", range(2))
async def test_a_dispute_told_in_any_order_ends_as_it_ended(refunds: Refunds, seed: int) -> None:
    invoice = await refunds.pays()
    refunds.does_by_hand(invoice, dispute="1")
    refunds.does_by_hand(invoice, lose="1")
    events = refunds.world.new_events() * 2
    random.Random(seed).shuffle(events)
    await refunds.world.hears(*events)
    assert (await refunds.invoice())["disputed"] is True
    assert (await refunds.told())[-1] == ("disputeClosedV1", 0, True)


async def test_a_card_that_disputes_is_told_though_its_invoice_is_not_known_yet(refunds: Refunds) -> None:
    crew = refunds.crew
    await crew.begins("solo_monthly", 1)
    crew.saves("pm_card_createDispute")
    v1 = refunds.world.stripe.v1
    item: Any = {"customer": crew.theirs, "amount": 700, "currency": "eur"}
    v1.invoice_items.create(item)
    made = v1.invoices.create({"customer": crew.theirs, "pending_invoice_items_behavior": "include"})
    v1.invoices.pay(str(made.id))
    events = refunds.world.new_events()
    first = [event for event in events if event["type"].startswith("charge.dispute")]
    await refunds.world.hears(*first)
    invoice = await refunds.invoice()
    assert (invoice["total"], invoice["status"], invoice["disputed"]) == (700, "paid", True)
    await refunds.world.hears(*(event for event in events if event not in first))
    assert (await refunds.invoice())["disputed"] is True


async def test_an_inquiry_holds_nothing(refunds: Refunds) -> None:
    crew = refunds.crew
    await crew.begins("solo_monthly", 1)
    crew.saves("pm_card_createDisputeInquiry")
    v1 = refunds.world.stripe.v1
    item: Any = {"customer": crew.theirs, "amount": 700, "currency": "eur"}
    v1.invoice_items.create(item)
    made = v1.invoices.create({"customer": crew.theirs, "pending_invoice_items_behavior": "include"})
    v1.invoices.pay(str(made.id))
    await refunds.world.catches_up()
    invoice = await refunds.invoice()
    assert (invoice["disputed"], invoice["amount_disputed"]) == (False, 0)
    assert [each["status"] for each in (await refunds.world.asks(m.ListDisputes()))["items"]] == ["inquiry"]
    await refunds.world.does(refunds.refund(invoice, 700))


async def test_a_credit_note_is_followed_with_its_refund(refunds: Refunds) -> None:
    invoice = await refunds.pays()
    note: Any = {
        "invoice": invoice["stripe_invoice_id"],
        "amount": 900,
        "refund_amount": 500,
        "credit_amount": 400,
    }
    refunds.world.stripe.v1.credit_notes.create(note)
    events = [event for event in refunds.world.new_events() if event["type"] != "invoice.updated"]
    await refunds.world.hears(*events)
    after = await refunds.invoice()
    assert (after["amount_credited"], after["amount_refunded"], after["status"]) == (900, 500, "paid")


async def test_a_payment_without_an_invoice_is_not_ours(refunds: Refunds) -> None:
    await refunds.pays()
    v1 = refunds.world.stripe.v1
    intent: Any = {
        "amount": 500,
        "currency": "eur",
        "customer": refunds.crew.theirs,
        "payment_method": "pm_card_visa",
        "confirm": True,
    }
    paid = v1.payment_intents.create(intent)
    v1.refunds.create({"payment_intent": paid.id})
    await refunds.world.catches_up()
    assert await refunds.listed() == []
    reports = await refunds.world.reports()
    assert {report["status"] for report in reports} == {"applied", "ignored"}
