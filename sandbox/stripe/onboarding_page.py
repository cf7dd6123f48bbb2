"""Onboarding page of an account link, and the Express dashboard.

A script posts `account_number` to a link's address (or `later`): 303 to the `return_url`. A link that was
used or has expired leads to the `refresh_url`. Account numbers ending in 3001 are of a closed bank account,
to which payouts fail.
"""

from __future__ import annotations

from html import escape

from sandbox.stripe import pages
from sandbox.stripe.account import Account, Json
from sandbox.stripe.connected_accounts import connected, enable
from sandbox.stripe.faults import missing_object
from sandbox.stripe.routing import Page, Route

TEST_NUMBER = "DE89370400440532013000"
MAX_SHOWN = 12


def show(account: Account, params: Json, ids: dict[str, str]) -> Page:
    """`GET /setup/e/{account}/{token}`."""
    link = _link(account, ids)
    if link["_used"] or account.now() > link["expires_at"]:
        return pages.redirect(link["_refresh_url"])
    opened = connected(account, ids["account"])
    due = "".join(f"<li>{escape(name)}</li>" for name in opened["requirements"]["currently_due"])
    needed = f"<h2>Still needed</h2><ul>{due}</ul>" if due else "<p>Everything needed is there.</p>"
    form = (
        '<form method="post"><label for="number">Bank account (IBAN)</label>'
        f'<input id="number" name="account_number" value="{TEST_NUMBER}" required>'
        f"{pages.button('Submit', 'submit', main=True)}"
        f"{pages.button('Save for later', 'later', skip_checks=True)}</form>"
    )
    return pages.page(
        "Get paid by Sandbox", f"<p>{escape(opened['email'] or opened['id'])}</p>{needed}{form}"
    )


def submit(account: Account, params: Json, ids: dict[str, str]) -> Page:
    """`POST /setup/e/{account}/{token}`."""
    link = _link(account, ids)
    if link["_used"] or account.now() > link["expires_at"]:
        return pages.redirect(link["_refresh_url"])
    link["_used"] = True
    if not params.get("later"):
        number = str(params.get("account_number") or TEST_NUMBER).replace(" ", "")
        enable(account, connected(account, ids["account"]), number)
    return pages.redirect(link["_return_url"])


def dashboard(account: Account, params: Json, ids: dict[str, str]) -> Page:
    """`GET /express/{account}/{token}`: the balance, and what was transferred and paid out."""
    opened = connected(account, ids["account"])
    balances = "".join(
        f"<tr><th>Balance</th><td>{pages.money(amount, currency)}</td></tr>"
        for currency, amount in sorted(opened["_balances"].items())
    )
    transfers = account.each("transfer", destination=opened["id"])
    payouts = account.each("payout", _account=opened["id"])
    moved = sorted([*transfers, *payouts], key=lambda each: each["created"])[-MAX_SHOWN:]
    rows = "".join(
        f"<tr><th>{escape(each['object'].capitalize())} {escape(str(each.get('status') or ''))}</th>"
        f"<td>{pages.money(each['amount'], each['currency'])}</td></tr>"
        for each in reversed(moved)
    )
    name = escape(opened["email"] or opened["id"])
    return pages.page("Express dashboard", f"<p>{name}</p><table>{balances}{rows}</table>")


def _link(account: Account, ids: dict[str, str]) -> Json:
    link = account.get("account_link", ids["token"])
    if link["_account"] != ids["account"]:
        raise missing_object("account_link", ids["token"])
    return link


ROUTES = [
    Route("GET", "/setup/e/{account}/{token}", show, kind="page"),
    Route("POST", "/setup/e/{account}/{token}", submit, kind="page"),
    Route("GET", "/express/{account}/{token}", dashboard, kind="page"),
]
