"""Payments as in Stripe's dashboard, for browsers and scripts: refunds and disputes by hand.

`GET /payments` lists them, `GET /payments/{charge or payment intent}` shows one. A form posts `refund=1`
(with `amount` and `reason`), `dispute=1` (with `reason`), `win=1` or `lose=1`, or `succeed` or `fail` with
the id of a refund.
"""

from __future__ import annotations

from html import escape

from sandbox.stripe import disputes, pages, refunds
from sandbox.stripe.account import Account, Json
from sandbox.stripe.billing import calendar
from sandbox.stripe.faults import StripeFault, invalid
from sandbox.stripe.routing import Page, Route

SHOWN = 100
"""Payments on the list, the newest first."""


def show_all(account: Account, params: Json, ids: dict[str, str]) -> Page:
    """`GET /payments`: the newest payments."""
    paid = [charge for charge in account.each("charge") if charge["paid"]][-SHOWN:]
    rows = "".join(
        f'<tr><td><a href="/payments/{charge["id"]}">{escape(charge["description"] or charge["id"])}</a></td>'
        f"<td>{_state(charge)}</td><td>{pages.money(charge['amount'], charge['currency'])}</td></tr>"
        for charge in reversed(paid)
    )
    return pages.page("Payments", f"<table><caption>The newest first</caption><tbody>{rows}</tbody></table>")


def show(account: Account, params: Json, ids: dict[str, str]) -> Page:
    """`GET /payments/{id}`: one payment with its refunds and its dispute."""
    return _page(account, _charge(account, ids["id"]))


def submit(account: Account, params: Json, ids: dict[str, str]) -> Page:
    """`POST /payments/{id}`: do what the form asks for, and redirect to the payment."""
    charge = _charge(account, ids["id"])
    try:
        _act(account, charge, params)
    except StripeFault as fault:
        return _page(account, charge, fault.message, fault.status)
    return pages.redirect(f"/payments/{charge['id']}")


def _act(account: Account, charge: Json, params: Json) -> None:
    if params.get("refund"):
        amount = str(params.get("amount") or "").strip()
        if amount and not amount.isdecimal():
            raise invalid("The amount is a whole number of minor units.", "amount")
        refunds.refund(account, charge, int(amount) if amount else None, params.get("reason") or None)
    elif params.get("dispute"):
        disputes.open_dispute(account, charge, params.get("reason") or "fraudulent")
    elif params.get("win") or params.get("lose"):
        dispute = _open_dispute(account, charge)
        if dispute is None:
            raise invalid("This payment has no open dispute.")
        disputes.close_dispute(account, dispute, won=bool(params.get("win")))
    elif params.get("succeed") or params.get("fail"):
        made = account.refer("refund", str(params.get("succeed") or params.get("fail")), "refund")
        refunds.settle(account, made, successful=bool(params.get("succeed")))


def _charge(account: Account, object_id: str) -> Json:
    intent = account.peek("payment_intent", object_id)
    return account.get("charge", (intent["latest_charge"] or "") if intent is not None else object_id)


def _open_dispute(account: Account, charge: Json) -> Json | None:
    found = account.find("dispute", charge=charge["id"])
    return next((each for each in found if each["status"] in disputes.OPEN), None)


def _page(account: Account, charge: Json, error: str | None = None, status: int = 200) -> Page:
    body = (
        pages.alert(error) + f"<p>{pages.money(charge['amount'], charge['currency'])}, {_state(charge)},"
        f" {calendar.day_name(charge['created'])}</p>"
        + _refunds(account, charge)
        + _disputes(account, charge)
        + '<p><a href="/payments">All payments</a></p>'
    )
    return pages.page(charge["description"] or "Payment", body, status)


def _refunds(account: Account, charge: Json) -> str:
    rows = "".join(
        f"<tr><td>{escape(made['id'])}</td><td>{escape(made['status'])}</td>"
        f"<td>{pages.money(made['amount'], made['currency'])}</td><td>{_settle_buttons(made)}</td></tr>"
        for made in account.find("refund", charge=charge["id"])
    )
    table = f"<table><caption>Refunds</caption><tbody>{rows}</tbody></table>" if rows else ""
    left = charge["amount_captured"] - charge["amount_refunded"]
    if left <= 0 or (charge["disputed"] and not charge.get("_refundable_in_dispute")):
        return table
    reasons = "".join(f"<option>{reason}</option>" for reason in ("", *refunds.REASONS))
    return (
        f"{table}<form method=post><h2>Refund</h2><label for=amount>Amount in minor units</label>"
        f"<input id=amount name=amount inputmode=numeric placeholder={left}>"
        f"<label for=refund_reason>Reason</label><select id=refund_reason name=reason>{reasons}</select>"
        f"{pages.button('Refund', 'refund', main=True)}</form>"
    )


def _settle_buttons(made: Json) -> str:
    if made["status"] in ("failed", "canceled"):
        return ""
    succeed = f'<button name=succeed value="{made["id"]}">Let it succeed</button>'
    fail = f'<button name=fail value="{made["id"]}">Let it fail</button>'
    return f"<form method=post>{succeed if made['status'] == 'pending' else ''}{fail}</form>"


def _disputes(account: Account, charge: Json) -> str:
    rows = "".join(
        f"<tr><td>{escape(each['id'])}</td><td>{escape(each['reason'])}</td><td>{escape(each['status'])}</td>"
        f"<td>{pages.money(each['amount'], each['currency'])}</td></tr>"
        for each in account.find("dispute", charge=charge["id"])
    )
    table = f"<table><caption>Disputes</caption><tbody>{rows}</tbody></table>" if rows else ""
    if _open_dispute(account, charge) is not None:
        buttons = pages.button("Win the dispute", "win", main=True) + pages.button("Lose it", "lose")
        return f"{table}<form method=post>{buttons}</form>"
    if charge["disputed"] or charge["refunded"]:
        return table
    reasons = "".join(f"<option>{reason}</option>" for reason in disputes.REASONS)
    return (
        f"{table}<form method=post><h2>Dispute</h2><label for=dispute_reason>Reason</label>"
        f"<select id=dispute_reason name=reason>{reasons}</select>{pages.button('Dispute', 'dispute')}</form>"
    )


def _state(charge: Json) -> str:
    if charge["disputed"]:
        return "disputed"
    if charge["refunded"]:
        return "refunded"
    return "partly refunded" if charge["amount_refunded"] else "paid"


ROUTES = [
    Route("GET", "/payments", show_all, kind="page"),
    Route("GET", "/payments/{id}", show, kind="page"),
    Route("POST", "/payments/{id}", submit, kind="page"),
]
