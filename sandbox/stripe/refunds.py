"""Refunds of charges: immediate, pending, failed later, and as a credit note makes them."""

from __future__ import annotations

from sandbox.stripe.account import Account, Json
from sandbox.stripe.faults import invalid
from sandbox.stripe.lists import page
from sandbox.stripe.parameters import LIST, integer, merge_metadata, metadata, one_of, text
from sandbox.stripe.payment_methods import test_card
from sandbox.stripe.routing import Route

REASONS = ("duplicate", "fraudulent", "requested_by_customer")


def create(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/refunds`: refund a charge or a payment intent's charge, fully or partly."""
    charge = _refunded_charge(account, params)
    return refund(account, charge, params.get("amount"), params.get("reason"), params.get("metadata"))


def refund(
    account: Account, charge: Json, amount: int | None, reason: str | None = None, notes: Json | None = None
) -> Json:
    """Refund a charge, all that is left of it without an amount, and emit the events.

    The card decides whether it succeeds at once or stays pending until it is settled.
    """
    amount = _checked_amount(charge, amount)
    made = account.insert(_new_refund(account, charge, amount, reason, notes))
    account.emit("refund.created", made)
    _count(account, charge, amount, "charge.refunded")
    return made


def settle(account: Account, made: Json, *, successful: bool) -> Json:
    """Let a pending refund succeed, or a refund fail: its money is back on the account then."""
    if made["status"] in ("failed", "canceled"):
        raise invalid(f"This refund has {made['status']} already.")
    charge = account.get("charge", made["charge"])
    if successful:
        account.change(made, "refund.updated", status="succeeded")
        account.emit("charge.refund.updated", made)
        return made
    made["failure_reason"] = "expired_or_canceled_card"
    made["failure_balance_transaction"] = account.new_id("txn")
    account.change(made, "refund.updated", status="failed")
    account.emit("refund.failed", made)
    account.emit("charge.refund.updated", made)
    _count(account, charge, -made["amount"], "charge.updated")
    return made


def retrieve(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/refunds/{id}`."""
    return account.get("refund", ids["id"])


def update(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/refunds/{id}`: metadata only."""
    made = account.get("refund", ids["id"])
    notes = merge_metadata(made["metadata"], params.get("metadata"))
    account.change(made, "refund.updated", metadata=notes)
    return made


def list_refunds(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/refunds`, by `charge` and `payment_intent`."""
    equals = {name: params[name] for name in ("charge", "payment_intent") if params.get(name)}
    return page(account.find("refund", **equals), params, "/v1/refunds")


def _checked_amount(charge: Json, amount: int | None) -> int:
    left: int = charge["amount_captured"] - charge["amount_refunded"]
    if left == 0:
        raise invalid(
            f"Charge {charge['id']} has already been refunded.", "charge", "charge_already_refunded"
        )
    if charge["disputed"] and not charge.get("_refundable_in_dispute"):
        raise invalid(
            f"Charge {charge['id']} has been charged back; cannot issue a refund.",
            "charge",
            "charge_disputed",
        )
    wanted = left if amount is None else amount
    if not 0 < wanted <= left:
        raise invalid(
            f"Refund amount ({wanted}) is greater than unrefunded amount on charge ({left})", "amount"
        )
    return wanted


def _new_refund(account: Account, charge: Json, amount: int, reason: str | None, notes: Json | None) -> Json:
    method = account.peek("payment_method", charge["payment_method"])
    card = None if method is None else test_card(method)
    return {
        "id": account.new_id("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": account.new_id("txn"),
        "charge": charge["id"],
        "created": account.now(charge),
        "currency": charge["currency"],
        "customer": charge["customer"],
        "customer_account": None,
        "destination_details": {"card": {"type": "refund"}, "type": "card"},
        "metadata": merge_metadata(None, notes),
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "pending" if card is not None and card.refund == "pending" else "succeeded",
        "transfer_reversal": None,
    }


def _count(account: Account, charge: Json, amount: int, event_type: str) -> None:
    refunded = charge["amount_refunded"] + amount
    account.change(
        charge, event_type, amount_refunded=refunded, refunded=refunded == charge["amount_captured"]
    )


def _refunded_charge(account: Account, params: Json) -> Json:
    if bool(params.get("charge")) == bool(params.get("payment_intent")):
        raise invalid(
            "One of the following params should be provided for this request: payment_intent or charge."
        )
    if params.get("charge"):
        charge = account.refer("charge", params["charge"], "charge")
    else:
        intent = account.refer("payment_intent", params["payment_intent"], "payment_intent")
        if intent["latest_charge"] is None:
            raise invalid("This PaymentIntent does not have a successful charge to refund.", "payment_intent")
        charge = account.get("charge", intent["latest_charge"])
    if not charge["paid"]:
        raise invalid(f"Charge {charge['id']} was not paid.", "charge")
    return charge


_PATH = "/v1/refunds/{id}"

ROUTES = [
    Route(
        "POST",
        "/v1/refunds",
        create,
        {
            "amount": integer,
            "charge": text,
            "metadata": metadata,
            "payment_intent": text,
            "reason": one_of(*REASONS),
        },
    ),
    Route("GET", "/v1/refunds", list_refunds, {**LIST, "charge": text, "payment_intent": text}),
    Route("GET", _PATH, retrieve, {}),
    Route("POST", _PATH, update, {"metadata": metadata}),
]
