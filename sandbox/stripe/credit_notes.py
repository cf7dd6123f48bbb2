"""Credit notes: less to pay on an open invoice; a refund, a credit or nothing more on a paid one."""

from __future__ import annotations

from sandbox.stripe import customers, refunds
from sandbox.stripe.account import Account, Json
from sandbox.stripe.billing import invoicing
from sandbox.stripe.faults import invalid
from sandbox.stripe.lists import as_list, page
from sandbox.stripe.parameters import LIST, integer, merge_metadata, metadata, one_of, text
from sandbox.stripe.routing import Route

_PARTS = ("refund_amount", "credit_amount", "out_of_band_amount")
"""How the amount of a credit note on a paid invoice is given back."""


def create(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/credit_notes`: of an amount, or of custom lines."""
    invoice = account.refer("invoice", params["invoice"], "invoice")
    lines = _lines(account, params)
    total = sum(line["amount"] for line in lines) if lines else params.get("amount") or 0
    if not 0 < total <= invoice["total"] - _credited(invoice):
        raise invalid(f"The credit note's amount ({total}) must be between 1 and what is left.", "amount")
    if invoice["status"] == "open":
        _check_parts_absent(params)
        note = account.insert(_new_note(account, invoice, params, lines, total, "pre_payment"))
        _lower(account, invoice, note)
        return note
    if invoice["status"] != "paid":
        raise invalid("You can only create credit notes for open or paid invoices.", "invoice")
    _check_parts(params, total)
    note = account.insert(_new_note(account, invoice, params, lines, total, "post_payment"))
    _give_back(account, invoice, note, params)
    return note


def retrieve(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/credit_notes/{id}`."""
    return account.get("credit_note", ids["id"])


def list_notes(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/credit_notes`, by `invoice` and `customer`."""
    equals = {name: params[name] for name in ("invoice", "customer") if params.get(name)}
    return page(account.find("credit_note", **equals), params, "/v1/credit_notes")


def void(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/credit_notes/{id}/void`: of an open invoice only; the amount is owed again."""
    note = account.get("credit_note", ids["id"])
    invoice = account.get("invoice", note["invoice"])
    if note["status"] == "void" or note["type"] != "pre_payment" or invoice["status"] != "open":
        raise invalid("You can only void issued credit notes of open invoices.")
    account.change(note, status="void", voided_at=account.now(invoice))
    account.emit("credit_note.voided", note)
    _change_owed(account, invoice, note["amount"])
    return note


def _lower(account: Account, invoice: Json, note: Json) -> None:
    account.emit("credit_note.created", note)
    _change_owed(account, invoice, -note["amount"])
    if invoice["amount_due"] == 0:
        invoicing.mark_paid(account, invoice)


def _change_owed(account: Account, invoice: Json, difference: int) -> None:
    """Change what is owed, on the invoice and on its payment intent."""
    account.change(
        invoice,
        "invoice.updated",
        pre_payment_credit_notes_amount=invoice["pre_payment_credit_notes_amount"] - difference,
        amount_due=max(0, invoice["amount_due"] + difference),
        amount_remaining=max(0, invoice["amount_remaining"] + difference),
    )
    intent = account.peek("payment_intent", invoice.get("_intent"))
    if intent is not None and invoice["amount_due"] > 0:
        account.get("payment_intent", intent["id"])["amount"] = invoice["amount_due"]


def _give_back(account: Account, invoice: Json, note: Json, params: Json) -> None:
    if params.get("refund_amount"):
        intent = account.get("payment_intent", invoice["_intent"])
        charge = account.get("charge", intent["latest_charge"])
        made = refunds.refund(account, charge, params["refund_amount"])
        note["refunds"] = [{"amount_refunded": made["amount"], "refund": made["id"], "type": "refund"}]
    if params.get("credit_amount"):
        customer = account.get("customer", invoice["customer"])
        before = customer["balance"]
        credit = customers.add_balance(account, customer, -params["credit_amount"], "credit_note")
        note["customer_balance_transaction"] = credit["id"]
        account.emit("customer.updated", customer, {"balance": before})
    account.emit("credit_note.created", note)
    credited = invoice["post_payment_credit_notes_amount"] + note["amount"]
    account.change(invoice, "invoice.updated", post_payment_credit_notes_amount=credited)


def _check_parts(params: Json, total: int) -> None:
    given = sum(params.get(name) or 0 for name in _PARTS)
    if given != total:
        raise invalid(
            f"The sum of refund, credit and out of band amounts ({given}) must equal the credit note's"
            f" amount ({total})."
        )


def _check_parts_absent(params: Json) -> None:
    for name in _PARTS:
        if params.get(name):
            raise invalid("An open invoice has not been paid: there is nothing to give back.", name)


def _credited(invoice: Json) -> int:
    credited: int = invoice["pre_payment_credit_notes_amount"] + invoice["post_payment_credit_notes_amount"]
    return credited


def _lines(account: Account, params: Json) -> list[Json]:
    return [
        {
            "id": account.new_id("cnli"),
            "object": "credit_note_line_item",
            "amount": line["unit_amount"] * (line.get("quantity") or 1),
            "description": line.get("description"),
            "discount_amount": 0,
            "discount_amounts": [],
            "livemode": False,
            "metadata": {},
            "pretax_credit_amounts": [],
            "quantity": line.get("quantity") or 1,
            "tax_rates": [],
            "taxes": [],
            "type": "custom_line_item",
            "unit_amount": line["unit_amount"],
            "unit_amount_decimal": str(line["unit_amount"]),
        }
        for line in params.get("lines") or []
    ]


def _new_note(
    account: Account, invoice: Json, params: Json, lines: list[Json], total: int, kind: str
) -> Json:
    note_id, now = account.new_id("cn"), account.now(invoice)
    number = 1 + len(account.find("credit_note", invoice=invoice["id"]))
    is_before = kind == "pre_payment"
    return {
        "id": note_id,
        "object": "credit_note",
        "amount": total,
        "amount_shipping": 0,
        "created": now,
        "currency": invoice["currency"],
        "customer": invoice["customer"],
        "customer_account": None,
        "customer_balance_transaction": None,
        "discount_amount": 0,
        "discount_amounts": [],
        "effective_at": now,
        "invoice": invoice["id"],
        "lines": as_list(lines, f"/v1/credit_notes/{note_id}/lines"),
        "livemode": False,
        "memo": params.get("memo"),
        "metadata": merge_metadata(None, params.get("metadata")),
        "number": f"{invoice['number']}-CN-{number:02d}",
        "out_of_band_amount": params.get("out_of_band_amount"),
        "pdf": f"{account.public_url}/credit_notes/{note_id}/pdf",
        "post_payment_amount": 0 if is_before else total,
        "pre_payment_amount": total if is_before else 0,
        "pretax_credit_amounts": [],
        "reason": params.get("reason"),
        "refunds": [],
        "shipping_cost": None,
        "status": "issued",
        "subtotal": total,
        "subtotal_excluding_tax": total,
        "total": total,
        "total_excluding_tax": total,
        "total_taxes": [],
        "type": kind,
        "voided_at": None,
    }


_PATH = "/v1/credit_notes/{id}"
_LINE = {
    "type!": one_of("custom_line_item"),
    "description": text,
    "quantity": integer,
    "unit_amount!": integer,
}

ROUTES = [
    Route(
        "POST",
        "/v1/credit_notes",
        create,
        {
            "invoice!": text,
            "amount": integer,
            "lines": [_LINE],
            "memo": text,
            "metadata": metadata,
            "reason": one_of("duplicate", "fraudulent", "order_change", "product_unsatisfactory"),
            "email_type": text,
            **dict.fromkeys(_PARTS, integer),
        },
    ),
    Route("GET", "/v1/credit_notes", list_notes, {**LIST, "invoice": text, "customer": text}),
    Route("GET", _PATH, retrieve, {}),
    Route("POST", _PATH + "/void", void, {}),
]
