"""Payouts from a connected account's balance to its bank, with the header `Stripe-Account`.

A payout is in transit for two seconds and then paid, or fails if the bank account is closed (its number ends
in 3001), which returns the amount to the balance. Source: https://docs.stripe.com/connect/testing
"""

from __future__ import annotations

from functools import partial

from sandbox.stripe.account import Account, Action, Json
from sandbox.stripe.connected_accounts import connected
from sandbox.stripe.faults import invalid, missing_object
from sandbox.stripe.lists import page
from sandbox.stripe.parameters import LIST, integer, merge_metadata, metadata, text
from sandbox.stripe.routing import Route
from sandbox.stripe.transfers import INSUFFICIENT, change_balance

IN_TRANSIT_SECONDS = 2
CLOSED_ACCOUNT = "3001"
FAILURE = "Your bank has notified us that the bank account has been closed."


def create(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/payouts`."""
    if account.acting_for is None:
        raise invalid("Only a connected account is paid out here: send the header Stripe-Account.")
    opened = connected(account, account.acting_for)
    amount, currency = params["amount"], params["currency"].lower()
    if not 0 < amount <= opened["_balances"].get(currency, 0):
        raise invalid(INSUFFICIENT, "amount", "balance_insufficient")
    if not opened["payouts_enabled"]:
        raise invalid("Cannot create payouts: this account has payouts disabled.", code="payouts_not_allowed")
    bank_account = opened["external_accounts"]["data"][0]
    change_balance(opened, currency, -amount)
    payout = account.insert(
        {
            "id": account.new_id("po"),
            "object": "payout",
            "amount": amount,
            "application_fee": None,
            "application_fee_amount": None,
            "arrival_date": account.now() + IN_TRANSIT_SECONDS,
            "automatic": False,
            "balance_transaction": account.new_id("txn"),
            "created": account.now(),
            "currency": currency,
            "description": params.get("description"),
            "destination": bank_account["id"],
            "failure_balance_transaction": None,
            "failure_code": None,
            "failure_message": None,
            "livemode": False,
            "metadata": merge_metadata(None, params.get("metadata")),
            "method": "standard",
            "original_payout": None,
            "payout_method": None,
            "reconciliation_status": "not_applicable",
            "reversed_by": None,
            "source_type": "card",
            "statement_descriptor": None,
            "status": "in_transit",
            "trace_id": {"status": "pending", "value": None},
            "type": "bank_account",
            "_account": opened["id"],
            "_fails": bank_account["_number"].endswith(CLOSED_ACCOUNT),
        }
    )
    account.emit("payout.created", payout)
    return payout


def retrieve(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/payouts/{id}`."""
    payout = account.get("payout", ids["id"])
    if payout["_account"] != account.acting_for:
        raise missing_object("payout", ids["id"])
    return payout


def list_payouts(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/payouts`, by `status`."""
    equals = {"status": params["status"]} if params.get("status") else {}
    return page(account.find("payout", _account=account.acting_for, **equals), params, "/v1/payouts")


def due(account: Account, until: int, clock_id: str | None) -> list[tuple[int, Action]]:
    """Settle payouts whose time in transit is over."""
    if clock_id is not None:
        return []
    return [
        (each["arrival_date"], partial(_settle, account, each["id"]))
        for each in account.each("payout", status="in_transit")
        if each["arrival_date"] <= until
    ]


def _settle(account: Account, payout_id: str) -> None:
    payout = account.get("payout", payout_id)
    if not payout["_fails"]:
        account.change(payout, "payout.paid", status="paid")
        return
    change_balance(connected(account, payout["_account"]), payout["currency"], payout["amount"])
    account.change(
        payout,
        "payout.failed",
        status="failed",
        failure_balance_transaction=account.new_id("txn"),
        failure_code="account_closed",
        failure_message=FAILURE,
    )


ROUTES = [
    Route(
        "POST",
        "/v1/payouts",
        create,
        {"amount!": integer, "currency!": text, "description": text, "metadata": metadata},
    ),
    Route("GET", "/v1/payouts", list_payouts, {**LIST, "status": text}),
    Route("GET", "/v1/payouts/{id}", retrieve, {}),
]
