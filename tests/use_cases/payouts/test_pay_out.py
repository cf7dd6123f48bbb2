"""Payouts: on demand and by schedule, refused, interrupted, reversed; never twice, never lost."""

import asyncio
import json

import pytest
import stripe

from tallystick.messages import payouts as m
from tallystick.messages.base import Customer, Money
from tallystick.subjects import COMMANDS_STREAM
from tests.support.stripe import SECRET_KEY
from tests.support.worlds.sellers import ACME, SellerWorld, sold

BETA = Customer(type="organization", id="beta")


@pytest.fixture
async def seller(sellers: SellerWorld) -> SellerWorld:
    """A connected seller to whom 8,500 is available."""
    await sellers.connected()
    await sellers.sells(sold(10_000))
    await sellers.releases(days=8)
    return sellers


async def test_all_that_is_available_is_transferred_once(seller: SellerWorld) -> None:
    command = seller.pay_out()
    paid = await seller.does(command)
    assert await seller.does(command) == paid
    payout = paid["payout"]
    assert (payout["status"], payout["amount"]) == ("paid", {"amount": 8_500, "currency": "eur"})
    assert await seller.balance() == (0, 0, 8_500)
    (transfer,) = seller.stripe_objects("transfers")
    assert (transfer["amount"], transfer["id"]) == (8_500, payout["stripe_transfer_id"])
    assert transfer["metadata"] == {"tallystick_payout_id": payout["payout_id"]}
    assert await seller.names("payout") == ["createdV1", "paidV1"]
    assert (await seller.asks(m.ListPayouts(customer=ACME)))["items"] == [payout]
    await seller.catches_up()
    assert await seller.names("payout") == ["createdV1", "paidV1"]


async def test_what_is_not_paid_out(sellers: SellerWorld) -> None:
    assert (await sellers.refuses(sellers.pay_out()))[0] == "not_connected"
    opened = await sellers.does(sellers.connect())
    await sellers.adjusts(500)
    code, details = await sellers.refuses(sellers.pay_out())
    assert code == "payouts_not_enabled" and "external_account" in details["currently_due"]
    await sellers.onboards(opened["onboarding_url"])
    await sellers.catches_up()
    await sellers.schedules(minimum=Money(amount=400, currency="eur"))
    assert await sellers.refuses(sellers.pay_out(501)) == (
        "insufficient_balance",
        {"available": 500, "currency": "eur"},
    )
    assert (await sellers.refuses(sellers.pay_out(399)))[0] == "below_minimum"
    await sellers.adjusts(70, currency="usd")
    assert await sellers.refuses(sellers.pay_out()) == ("currency_required", {"currencies": ["eur", "usd"]})
    assert (await sellers.does(sellers.pay_out(currency="usd")))["payout"]["amount"]["amount"] == 70
    assert await sellers.balance() == (0, 500, 0)
    assert len(sellers.stripe_objects("transfers")) == 1


async def test_an_amount_without_a_currency_is_of_the_only_one(seller: SellerWorld) -> None:
    command = m.PayOut(command_id="plain", customer=ACME, amount=2_000, reference="plain")
    assert (await seller.does(command))["payout"]["amount"] == {"amount": 2_000, "currency": "eur"}
    await seller.adjusts(70, currency="usd")
    command = m.PayOut(command_id="which", customer=ACME, amount=50, reference="plain")
    assert (await seller.refuses(command))[0] == "currency_required"


async def test_many_at_once_never_pay_more_than_there_is(seller: SellerWorld) -> None:
    outcomes = await asyncio.gather(
        *(seller.bound.handle(seller.pay_out(3_000), seller.now) for _ in range(5))
    )
    assert sorted(one.status for one in outcomes) == ["rejected"] * 3 + ["succeeded"] * 2
    assert await seller.balance() == (0, 2_500, 6_000)
    assert sum(one["amount"] for one in seller.stripe_objects("transfers")) == 6_000


async def test_a_refused_transfer_returns_the_amount(seller: SellerWorld) -> None:
    account = await seller.account()
    # Stripe has disabled the account, and the event is still on its way.
    await seller.knob(account["stripe_account_id"], disabled_reason="rejected.fraud")
    command = seller.pay_out()
    payout = (await seller.does(command))["payout"]
    assert payout["status"] == "failed"
    assert payout["failure"]["code"] == "insufficient_capabilities_for_transfer"
    assert await seller.balance() == (0, 8_500, 8_500)
    assert await seller.entries() == [("earned", 8_500), ("paid_out", 8_500), ("returned", 8_500)]
    assert await seller.names("payout") == ["createdV1", "failedV1"]
    assert (await seller.does(command))["payout"] == payout
    await seller.catches_up()
    assert (await seller.refuses(seller.pay_out()))[0] == "payouts_not_enabled"
    await seller.knob(account["stripe_account_id"], disabled_reason="")
    await seller.catches_up()
    assert (await seller.does(seller.pay_out()))["payout"]["status"] == "paid"
    assert seller.stripe_objects("transfers")[0]["amount"] == 8_500


async def test_a_seller_who_has_left_is_refused_by_stripe(seller: SellerWorld) -> None:
    await seller.knob((await seller.account())["stripe_account_id"], deauthorized=True)
    assert (await seller.does(seller.pay_out()))["payout"]["status"] == "failed"
    await seller.catches_up()
    assert (await seller.refuses(seller.pay_out()))[0] == "not_connected"
    assert await seller.balance() == (0, 8_500, 8_500)


async def test_while_stripe_is_away_the_amount_stays_paid_out_and_is_sent_later(seller: SellerWorld) -> None:
    command = seller.pay_out()
    seller.stand_in.goes_away_after(0)
    assert (await seller.bound.handle(command, seller.now)).status == "failed"
    assert await seller.balance() == (0, 0, 8_500)
    assert (await seller.refuses(seller.pay_out(command_id="another")))[0] == "insufficient_balance"
    seller.stand_in.comes_back()
    assert (await seller.does(command))["payout"]["status"] == "paid"
    assert len(seller.stripe_objects("transfers")) == 1


async def test_an_answer_that_was_lost_is_found_again(seller: SellerWorld) -> None:
    """The worker died before it could commit Stripe's answer, and Stripe has forgotten the key."""
    command = seller.pay_out()
    seller.stand_in.goes_away_after(0)
    assert (await seller.bound.handle(command, seller.now)).status == "failed"
    seller.stand_in.comes_back()
    (payout,) = (await seller.asks(m.ListPayouts(status="pending")))["items"]
    account = await seller.account()
    made = stripe.StripeClient(SECRET_KEY, base_addresses={"api": seller.stand_in.url}).v1.transfers.create(
        {
            "amount": 8_500,
            "currency": "eur",
            "destination": account["stripe_account_id"],
            "transfer_group": payout["payout_id"],
            "metadata": {"tallystick_payout_id": payout["payout_id"]},
        }
    )
    assert (await seller.does(command))["payout"]["stripe_transfer_id"] == made.id
    assert len(seller.stripe_objects("transfers")) == 1


async def test_stripes_event_finishes_a_payout_whose_worker_died(seller: SellerWorld) -> None:
    command = seller.pay_out()
    seller.stand_in.goes_away_after(1)
    outcome = await seller.bound.handle(command, seller.now)
    seller.stand_in.comes_back()
    assert outcome.status == "succeeded"
    # As if the result had not been recorded.
    await seller.bound.execute(
        "UPDATE payouts.payouts SET status = 'pending', stripe_transfer_id = NULL, settled_at = NULL"
    )
    await seller.catches_up()
    (payout,) = (await seller.asks(m.ListPayouts(status="paid")))["items"]
    assert payout["stripe_transfer_id"] is not None


async def test_a_transfer_that_is_taken_back_returns_to_the_balance(seller: SellerWorld) -> None:
    payout = (await seller.does(seller.pay_out()))["payout"]
    api = stripe.StripeClient(SECRET_KEY, base_addresses={"api": seller.stand_in.url}).v1
    api.transfers.reversals.create(payout["stripe_transfer_id"], {"amount": 500})
    api.transfers.reversals.create(payout["stripe_transfer_id"])
    events = seller.new_events()
    await seller.hears(*reversed(events), *events)
    (found,) = (await seller.asks(m.ListPayouts(customer=ACME)))["items"]
    assert (found["status"], found["amount_reversed"]) == ("reversed", 8_500)
    assert await seller.balance() == (0, 8_500, 8_500)
    assert await seller.names("payout") == ["createdV1", "paidV1", "reversedV1"]


async def test_payouts_by_schedule(seller: SellerWorld) -> None:
    await seller.schedules(every="week", minimum=1_000)
    await seller.connected(BETA)
    await seller.bound.tick("make_payouts", seller.now)
    assert await queued(seller) == []
    seller.passes(days=7)
    await seller.bound.tick("make_payouts", seller.now)
    await seller.bound.tick("make_payouts", seller.now)
    (command,) = await queued(seller)
    assert (await seller.does(command))["payout"]["amount"]["amount"] == 8_500
    seller.passes(days=7)
    await seller.adjusts(999)
    await seller.bound.tick("make_payouts", seller.now)
    assert await queued(seller) == [command]


async def test_a_disabled_seller_is_left_out_until_the_next_time(seller: SellerWorld) -> None:
    account = await seller.schedules(every="day")
    await seller.knob(account["stripe_account_id"], disabled_reason="requirements.past_due")
    await seller.catches_up()
    seller.passes(days=1)
    await seller.bound.tick("make_payouts", seller.now)
    assert await queued(seller) == []
    await seller.knob(account["stripe_account_id"], disabled_reason="")
    await seller.catches_up()
    seller.passes(days=1)
    await seller.bound.tick("make_payouts", seller.now)
    assert len(await queued(seller)) == 1


async def queued(seller: SellerWorld) -> list[m.PayOut]:
    """The payouts queued by the schedule."""
    rows = await seller.bound.outbox(COMMANDS_STREAM)
    found = [json.loads(row["payload"]) for row in rows if row["subject"].endswith("pay_out")]
    return [m.PayOut.model_validate_json(json.dumps(body)) for body in found]


async def test_a_payout_to_the_bank_that_fails_is_shown(seller: SellerWorld) -> None:
    await seller.does(seller.pay_out())
    account = await seller.account()
    event = {
        "id": "evt_bank_1",
        "type": "payout.failed",
        "account": account["stripe_account_id"],
        "data": {
            "object": {"status": "failed", "amount": 8_500, "currency": "eur", "created": 1_770_000_000,
                       "arrival_date": 1_770_200_000, "failure_message": "The account has been closed."}
        },
    }  # fmt: skip
    earlier = json.loads(json.dumps(event)) | {"id": "evt_bank_0", "type": "payout.created"}
    earlier["data"]["object"] |= {"status": "pending", "failure_message": None}
    await seller.hears(event, earlier)
    shown = (await seller.account())["last_bank_payout"]
    assert (shown["status"], shown["failure_message"]) == ("failed", "The account has been closed.")
    # The money is in the seller's Stripe account: nothing returns to the balance here.
    assert await seller.balance() == (0, 0, 8_500)
