"""Connected accounts with the real SDK: onboarding, transfers and reversals, payouts to the bank."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import stripe

from tests.support.sandbox_stripe.stand_in import WEBHOOK_SECRET, Receiver, StandIn, eventually

RETURN_URL = "https://shop.example/payouts"
CONNECT_FIELDS = {
    "account_link": "created expires_at object url",
    "login_link": "created object url",
    "transfer": (
        "amount amount_reversed balance_transaction created currency description destination "
        "destination_payment id livemode metadata object reversals reversed source_transaction source_type "
        "transfer_group"
    ),
    "transfer_reversal": (
        "amount balance_transaction created currency destination_payment_refund id metadata object "
        "source_refund transfer"
    ),
    "payout": (
        "amount application_fee application_fee_amount arrival_date automatic balance_transaction created "
        "currency description destination failure_balance_transaction failure_code failure_message id "
        "livemode metadata method object original_payout payout_method reconciliation_status reversed_by "
        "source_type statement_descriptor status trace_id type"
    ),
    "balance": "available connect_reserved livemode object pending",
}
"""The fields of Stripe's published objects."""


def open_account(stand_in: StandIn, country: str = "DE") -> Any:
    """A new Express account."""
    return stand_in.api.accounts.create(
        {"type": "express", "country": country, "email": "seller@example.com",
         "capabilities": {"transfers": {"requested": True}}, "metadata": {"seller": "acme"}}
    )  # fmt: skip


def onboard(stand_in: StandIn, browser: httpx.Client, account_id: str, **form: str) -> httpx.Response:
    """Fill in the page of a new account link."""
    link = stand_in.api.account_links.create(
        {"account": account_id, "type": "account_onboarding", "return_url": RETURN_URL,
         "refresh_url": RETURN_URL + "?again"}
    )  # fmt: skip
    return browser.post(link.url, data=form or {"account_number": "DE89370400440532013000"})


@pytest.fixture
def seller(stand_in: StandIn, browser: httpx.Client) -> str:
    """An account that is enabled; its id."""
    account_id: str = open_account(stand_in).id
    assert onboard(stand_in, browser, account_id).headers["location"] == RETURN_URL
    return account_id


def transfer(stand_in: StandIn, destination: str, amount: int, key: str | None = None) -> Any:
    """Send money to an account."""
    params = {"amount": amount, "currency": "eur", "destination": destination, "transfer_group": "po_1"}
    return stand_in.api.transfers.create(params, {"idempotency_key": key} if key else None)


def test_a_new_account_is_disabled_until_it_is_onboarded(stand_in: StandIn, browser: httpx.Client) -> None:
    made = open_account(stand_in)
    assert (made.type, made.payouts_enabled, made.default_currency) == ("express", False, "eur")
    assert "external_account" in made.requirements.currently_due
    with pytest.raises(stripe.InvalidRequestError, match="has not completed onboarding"):
        stand_in.api.accounts.login_links.create(made.id)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        transfer(stand_in, made.id, 100)
    assert refused.value.code == "insufficient_capabilities_for_transfer"
    assert "Still needed" in browser.get(onboard_link(stand_in, made.id)).text
    onboard(stand_in, browser, made.id)
    found = stand_in.api.accounts.retrieve(made.id)
    assert (found.payouts_enabled, found.details_submitted, found.requirements.currently_due) == (
        True, True, [],
    )  # fmt: skip
    dashboard = stand_in.api.accounts.login_links.create(made.id)
    assert "Express dashboard" in browser.get(dashboard.url).text


def onboard_link(stand_in: StandIn, account_id: str) -> str:
    """The address of a new account link."""
    params = {"account": account_id, "type": "account_onboarding", "return_url": RETURN_URL}
    return str(stand_in.api.account_links.create({**params, "refresh_url": RETURN_URL + "?again"}).url)


def test_a_link_works_once(stand_in: StandIn, browser: httpx.Client) -> None:
    url = onboard_link(stand_in, open_account(stand_in).id)
    assert browser.post(url, data={"later": "1"}).headers["location"] == RETURN_URL
    for answer in (browser.get(url), browser.post(url, data={"account_number": "DE1"})):
        assert answer.headers["location"] == RETURN_URL + "?again"


def test_transfers_and_reversals_move_both_balances(stand_in: StandIn, seller: str) -> None:
    httpx.post(stand_in.url + "/_sandbox/balance", json={"opening": 1000}).raise_for_status()
    sent = transfer(stand_in, seller, 700, key="once")
    assert transfer(stand_in, seller, 700, key="once").id == sent.id
    assert [one.id for one in stand_in.api.transfers.list({"transfer_group": "po_1"}).data] == [sent.id]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        transfer(stand_in, seller, 301)
    assert refused.value.code == "balance_insufficient"
    reversal = stand_in.api.transfers.reversals.create(sent.id, {"amount": 200})
    found = stand_in.api.transfers.retrieve(sent.id)
    assert (found.amount_reversed, found.reversed, found.reversals.data[0].id) == (200, False, reversal.id)
    own = stand_in.api.balance.retrieve().available[0]
    theirs = stand_in.api.balance.retrieve(options={"stripe_account": seller}).available[0]
    assert ((own.amount, own.currency), theirs.amount) == ((500, "eur"), 500)
    with pytest.raises(stripe.InvalidRequestError):
        stand_in.api.transfers.reversals.create(sent.id, {"amount": 501})


@pytest.mark.parametrize(("number", "status"), [("DE01 3000", "paid"), ("DE62 3001", "failed")])
def test_a_payout_to_the_bank_is_paid_or_fails(
    stand_in: StandIn, browser: httpx.Client, number: str, status: str
) -> None:
    seller = open_account(stand_in).id
    onboard(stand_in, browser, seller, account_number=number)
    transfer(stand_in, seller, 700)
    as_seller: Any = {"stripe_account": seller}
    payout = stand_in.api.payouts.create({"amount": 600, "currency": "eur"}, as_seller)
    assert payout.status == "in_transit"
    stand_in.account.run_due(payout.arrival_date)
    found = stand_in.api.payouts.retrieve(payout.id, options=as_seller)
    left = stand_in.api.balance.retrieve(options=as_seller).available[0].amount
    assert (found.status, left) == (status, 100 if status == "paid" else 700)
    with pytest.raises(stripe.InvalidRequestError):
        stand_in.api.payouts.retrieve(payout.id)


def test_events_of_connected_accounts_name_the_account(receiver: Receiver, browser: httpx.Client) -> None:
    stand_in = StandIn(webhook=(receiver.url, WEBHOOK_SECRET))
    try:
        seller = open_account(stand_in).id
        onboard(stand_in, browser, seller)
        sent = transfer(stand_in, seller, 700)
        stand_in.api.transfers.reversals.create(sent.id)
        httpx.post(
            f"{stand_in.url}/_sandbox/accounts/{seller}", json={"deauthorized": True}
        ).raise_for_status()
        wanted = ["account.updated"] * 2 + ["transfer.created", "transfer.reversed"]
        wanted.append("account.application.deauthorized")
        eventually(lambda: receiver.types == wanted, "the events")
        events = [json.loads(payload) for _, payload in receiver.deliveries]
        assert [event.get("account") for event in events] == [seller, seller, None, None, seller]
        with pytest.raises(stripe.PermissionError):
            stand_in.api.accounts.retrieve(seller)
        with pytest.raises(stripe.InvalidRequestError, match="No such destination"):
            transfer(stand_in, seller, 1)
    finally:
        stand_in.stop()


def test_objects_have_exactly_the_fields_of_stripes(stand_in: StandIn, seller: str) -> None:
    sent = transfer(stand_in, seller, 700)
    link = stand_in.api.account_links.create(
        {"account": seller, "type": "account_onboarding", "return_url": RETURN_URL, "refresh_url": RETURN_URL}
    )
    made = [
        link, stand_in.api.accounts.login_links.create(seller), sent,
        stand_in.api.transfers.reversals.create(sent.id, {"amount": 1}),
        stand_in.api.payouts.create({"amount": 1, "currency": "eur"}, {"stripe_account": seller}),
        stand_in.api.balance.retrieve(),
    ]  # fmt: skip
    for each in made:
        assert (each.object, sorted(each.to_dict())) == (
            each.object,
            sorted(CONNECT_FIELDS[each.object].split()),
        )
