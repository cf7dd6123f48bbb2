"""Transfers to connected accounts and their reversals, and the balances on both sides.

The platform's balance is an opening balance a currency, what was charged and not refunded, less what was
transferred. Tests set the opening balance at `POST /_sandbox/balance` (no key): `opening`.
"""

from __future__ import annotations

from sandbox.stripe.account import Account, Json
from sandbox.stripe.connected_accounts import KIND as ACCOUNT
from sandbox.stripe.connected_accounts import connected
from sandbox.stripe.faults import StripeFault, invalid
from sandbox.stripe.lists import as_list, page
from sandbox.stripe.parameters import LIST, integer, merge_metadata, metadata, text
from sandbox.stripe.routing import Route

OPENING_BALANCE = 100_000_000
"""A million in most currencies, so that a laptop can transfer without selling first."""
INSUFFICIENT = (
    "You have insufficient available funds in your Stripe account. Try adding funds directly to your"
    " available balance by creating Charges using the 4000000000000077 test card."
)


def create(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/transfers`: move money of the platform to a connected account."""
    amount, currency = params["amount"], params["currency"].lower()
    if amount <= 0:
        raise invalid("Invalid positive integer", "amount", "parameter_invalid_integer")
    opened = account.peek(ACCOUNT, params["destination"])
    if opened is None or opened.get("_deauthorized"):
        raise StripeFault(
            f"No such destination: '{params['destination']}'", code="resource_missing", param="destination"
        )
    if opened["capabilities"].get("transfers") != "active":
        raise invalid(
            "Your destination account needs to have at least one of the following capabilities enabled:"
            " transfers, crypto_transfers, legacy_payments",
            "destination",
            "insufficient_capabilities_for_transfer",
        )
    if amount > platform_balance(account, currency):
        raise invalid(INSUFFICIENT, code="balance_insufficient")
    return _moved(account, params, amount, currency)


def retrieve(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/transfers/{id}`."""
    return account.get("transfer", ids["id"])


def list_transfers(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/transfers`, by `destination` and `transfer_group`."""
    names = ("destination", "transfer_group")
    found = account.find("transfer", **{name: params[name] for name in names if params.get(name)})
    return page(found, params, "/v1/transfers")


def reverse(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/transfers/{id}/reversals`: take money back from the connected account."""
    transfer = account.get("transfer", ids["id"])
    left = transfer["amount"] - transfer["amount_reversed"]
    amount = params.get("amount", left)
    if not 0 < amount <= left:
        raise invalid(f"Reversal amount ({amount}) is greater than unreversed amount ({left})", "amount")
    opened = connected(account, transfer["destination"])
    change_balance(opened, transfer["currency"], -amount)
    reversal = account.insert(
        {
            "id": account.new_id("trr"),
            "object": "transfer_reversal",
            "amount": amount,
            "balance_transaction": account.new_id("txn"),
            "created": account.now(),
            "currency": transfer["currency"],
            "destination_payment_refund": account.new_id("pyr"),
            "metadata": merge_metadata(None, params.get("metadata")),
            "source_refund": None,
            "transfer": transfer["id"],
        }
    )
    reversed_amount = transfer["amount_reversed"] + amount
    account.change(
        transfer,
        "transfer.reversed",
        amount_reversed=reversed_amount,
        reversed=reversed_amount == transfer["amount"],
        reversals=as_list([reversal, *transfer["reversals"]["data"]], transfer["reversals"]["url"]),
    )
    return reversal


def list_reversals(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/transfers/{id}/reversals`."""
    account.get("transfer", ids["id"])
    found = account.find("transfer_reversal", transfer=ids["id"])
    return page(found, params, f"/v1/transfers/{ids['id']}/reversals")


def balance(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/balance`, of the account named in `Stripe-Account`, else of the platform."""
    if account.acting_for is not None:
        amounts = dict(connected(account, account.acting_for)["_balances"]) or {"eur": 0}
    else:
        currencies = {each["currency"] for kind in ("charge", "transfer") for each in account.each(kind)}
        amounts = {currency: platform_balance(account, currency) for currency in currencies or {"eur"}}
    available = [
        {"amount": amount, "currency": currency, "source_types": {"card": amount}}
        for currency, amount in sorted(amounts.items())
    ]
    none = [{**each, "amount": 0, "source_types": {"card": 0}} for each in available]
    reserved = [{"amount": 0, "currency": each["currency"]} for each in available]
    return {
        "object": "balance",
        "available": available,
        "connect_reserved": reserved,
        "livemode": False,
        "pending": none,
    }


def platform_balance(account: Account, currency: str) -> int:
    """Return what the platform can transfer, in minor units."""
    charged = sum(
        each["amount_captured"] - each["amount_refunded"]
        for each in account.each("charge", currency=currency)
    )
    moved = sum(
        each["amount"] - each["amount_reversed"] for each in account.each("transfer", currency=currency)
    )
    settings = account.peek("_balance", "balance")
    opening: int = OPENING_BALANCE if settings is None else settings["opening"]
    return int(opening + charged - moved)


def change_balance(opened: Json, currency: str, amount: int) -> None:
    """Add to a connected account's balance, which may become negative."""
    opened["_balances"] = {**opened["_balances"], currency: opened["_balances"].get(currency, 0) + amount}


def set_opening(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /_sandbox/balance`."""
    if account.peek("_balance", "balance") is None:
        account.insert({"id": "balance", "object": "_balance", "opening": 0})
    account.get("_balance", "balance")["opening"] = params["opening"]
    return balance(account, {}, {})


def _moved(account: Account, params: Json, amount: int, currency: str) -> Json:
    opened = connected(account, params["destination"])
    transfer_id = account.new_id("tr")
    change_balance(opened, currency, amount)
    transfer = account.insert(
        {
            "id": transfer_id,
            "object": "transfer",
            "amount": amount,
            "amount_reversed": 0,
            "balance_transaction": account.new_id("txn"),
            "created": account.now(),
            "currency": currency,
            "description": params.get("description"),
            "destination": opened["id"],
            "destination_payment": account.new_id("py"),
            "livemode": False,
            "metadata": merge_metadata(None, params.get("metadata")),
            "reversals": as_list([], f"/v1/transfers/{transfer_id}/reversals"),
            "reversed": False,
            "source_transaction": None,
            "source_type": "card",
            "transfer_group": params.get("transfer_group"),
        }
    )
    account.emit("transfer.created", transfer)
    return transfer


ROUTES = [
    Route(
        "POST",
        "/v1/transfers",
        create,
        {
            "amount!": integer,
            "currency!": text,
            "destination!": text,
            "description": text,
            "metadata": metadata,
            "transfer_group": text,
        },
    ),
    Route("GET", "/v1/transfers", list_transfers, {**LIST, "destination": text, "transfer_group": text}),
    Route("GET", "/v1/transfers/{id}", retrieve, {}),
    Route("POST", "/v1/transfers/{id}/reversals", reverse, {"amount": integer, "metadata": metadata}),
    Route("GET", "/v1/transfers/{id}/reversals", list_reversals, LIST),
    Route("GET", "/v1/balance", balance, {}),
    Route("POST", "/_sandbox/balance", set_opening, {"opening!": integer}, kind="knob"),
]
