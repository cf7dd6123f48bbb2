"""Disputes of charges: opened by a test card or by hand, answered with evidence, won or lost.

As at Stripe, the evidence `winning_evidence` or `losing_evidence` in `uncategorized_text` decides a dispute
in test mode.
"""

from __future__ import annotations

from sandbox.stripe.account import Account, Json
from sandbox.stripe.billing.calendar import DAY
from sandbox.stripe.faults import invalid
from sandbox.stripe.lists import page
from sandbox.stripe.parameters import LIST, anything, boolean, merge_metadata, metadata, text
from sandbox.stripe.payment_methods import test_card
from sandbox.stripe.routing import Route

DAYS_TO_RESPOND = 9
"""Days until the evidence is due, as for most cards at Stripe."""
REASONS = ("fraudulent", "product_not_received", "general", "duplicate", "subscription_canceled")
OPEN = ("needs_response", "under_review", "warning_needs_response", "warning_under_review")
"""The statuses of a dispute that is not decided; those of an inquiry begin with `warning_`."""
_NETWORK_CODES = {"fraudulent": "10.4", "product_not_received": "13.1", "duplicate": "12.6.1"}
_EVIDENCE = [
    "access_activity_log",
    "billing_address",
    "cancellation_policy",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_communication",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "customer_signature",
    "duplicate_charge_documentation",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "receipt",
    "refund_policy",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "service_documentation",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_documentation",
    "shipping_tracking_number",
    "uncategorized_file",
    "uncategorized_text",
]


def open_dispute(
    account: Account,
    charge: Json,
    reason: str = "fraudulent",
    amount: int | None = None,
    *,
    inquiry: bool = False,
) -> Json:
    """Open a dispute and take its amount from the account; an inquiry takes nothing yet."""
    left = charge["amount_captured"] - charge["amount_refunded"]
    wanted = left if amount is None else amount
    if charge["disputed"] or not charge["paid"] or not 0 < wanted <= left:
        raise invalid(f"Charge {charge['id']} cannot be disputed in this way.", "charge")
    dispute = account.insert(_new_dispute(account, charge, reason, wanted, inquiry=inquiry))
    charge["_refundable_in_dispute"] = inquiry
    account.emit("charge.dispute.created", dispute)
    account.change(charge, "charge.updated", disputed=True)
    if not inquiry:
        account.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


def close_dispute(account: Account, dispute: Json, *, won: bool) -> Json:
    """Decide an open dispute; an inquiry is closed without a decision when it is won."""
    if dispute["status"] not in OPEN:
        raise invalid(f"This dispute is already closed: it is {dispute['status']}.", code="dispute_closed")
    inquiry = dispute["status"].startswith("warning_")
    status = ("warning_closed" if inquiry else "won") if won else "lost"
    if inquiry and not won:
        account.emit("charge.dispute.funds_withdrawn", dispute)
    account.change(dispute, "charge.dispute.closed", status=status, is_charge_refundable=inquiry and won)
    if won and not inquiry:
        account.emit("charge.dispute.funds_reinstated", dispute)
    return dispute


def retrieve(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/disputes/{id}`."""
    return account.get("dispute", ids["id"])


def list_disputes(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/disputes`, by `charge` and `payment_intent`."""
    equals = {name: params[name] for name in ("charge", "payment_intent") if params.get(name)}
    return page(account.find("dispute", **equals), params, "/v1/disputes")


def update(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/disputes/{id}`: add evidence; submitting it puts the dispute under review."""
    dispute = account.get("dispute", ids["id"])
    if dispute["status"] not in OPEN:
        raise invalid(f"This dispute is already closed: it is {dispute['status']}.", code="dispute_closed")
    evidence = params.get("evidence") or {}
    unknown = sorted(set(evidence) - set(_EVIDENCE) - {"enhanced_evidence"})
    if unknown:
        raise invalid(f"Received unknown parameter: evidence[{unknown[0]}]", f"evidence[{unknown[0]}]")
    dispute["evidence"].update(evidence)
    dispute["metadata"] = merge_metadata(dispute["metadata"], params.get("metadata"))
    dispute["evidence_details"]["has_evidence"] = any(dispute["evidence"].get(name) for name in _EVIDENCE)
    is_submitted = params.get("submit", True) and bool(evidence)
    if is_submitted:
        dispute["evidence_details"]["submission_count"] += 1
        prefix = "warning_" if dispute["status"].startswith("warning_") else ""
        dispute["status"] = f"{prefix}under_review"
    account.emit("charge.dispute.updated", dispute)
    told = dispute["evidence"]["uncategorized_text"]
    if is_submitted and told in ("winning_evidence", "losing_evidence"):
        close_dispute(account, dispute, won=told == "winning_evidence")
    return dispute


def close(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/disputes/{id}/close`: accept the dispute, which is lost then."""
    return close_dispute(account, account.get("dispute", ids["id"]), won=False)


def dispute_by_card(account: Account, charge: Json) -> None:
    """Listener: dispute the charge of a test card that stands for it."""
    method = account.peek("payment_method", charge["payment_method"])
    card = None if method is None else test_card(method)
    if card is not None and card.dispute is not None:
        open_dispute(account, charge, card.dispute, inquiry=card.dispute == "general")


def _new_dispute(account: Account, charge: Json, reason: str, amount: int, *, inquiry: bool) -> Json:
    now = account.now(charge)
    card = charge["payment_method_details"]["card"]
    return {
        "id": account.new_id("dp"),
        "object": "dispute",
        "amount": amount,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": now,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**dict.fromkeys(_EVIDENCE), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": now + DAYS_TO_RESPOND * DAY,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": inquiry,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": {
                "brand": card["brand"],
                "case_type": "inquiry" if inquiry else "chargeback",
                "network": card["brand"],
                "network_reason_code": _NETWORK_CODES.get(reason, "10.4"),
            },
            "type": "card",
        },
        "reason": reason,
        "status": "warning_needs_response" if inquiry else "needs_response",
    }


LISTENERS = {"charge.succeeded": dispute_by_card}
_PATH = "/v1/disputes/{id}"

ROUTES = [
    Route("GET", "/v1/disputes", list_disputes, {**LIST, "charge": text, "payment_intent": text}),
    Route("GET", _PATH, retrieve, {}),
    Route("POST", _PATH, update, {"evidence": anything, "metadata": metadata, "submit": boolean}),
    Route("POST", _PATH + "/close", close, {}),
]
