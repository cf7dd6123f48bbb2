"""The account itself: `GET /v1/account`."""

from __future__ import annotations

from sandbox.stripe.account import Account, Json
from sandbox.stripe.faults import StripeFault
from sandbox.stripe.lists import as_list
from sandbox.stripe.routing import Route

ACCOUNT_ID = "acct_sandbox000000001"


def retrieve(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/account`, and `GET /v1/accounts/{id}` of this account."""
    if ids.get("id", ACCOUNT_ID) != ACCOUNT_ID:
        raise StripeFault(
            f"The provided key does not have access to account '{ids['id']}' (or that account does not"
            " exist).",
            status=403,
            code="account_invalid",
        )
    return {
        "id": ACCOUNT_ID,
        "object": "account",
        "business_profile": {
            "annual_revenue": None, "estimated_worker_count": None, "mcc": None,
            "minority_owned_business_designation": None, "name": "Sandbox", "product_description": None,
            "support_address": None, "support_email": None, "support_phone": None,
            "support_url": None, "url": None,
        },
        "business_type": None,
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "charges_enabled": True,
        "controller": {"type": "account"},
        "country": "DE",
        "created": 1_700_000_000,
        "default_currency": "eur",
        "details_submitted": True,
        "email": "owner@sandbox.example",
        "external_accounts": as_list([], f"/v1/accounts/{ACCOUNT_ID}/external_accounts"),
        "future_requirements": _requirements(),
        "metadata": {},
        "payouts_enabled": True,
        "requirements": _requirements(),
        "settings": {"dashboard": {"display_name": "Sandbox", "timezone": "Etc/UTC"}},
        "tos_acceptance": {"date": None, "ip": None, "user_agent": None},
        "type": "standard",
    }  # fmt: skip


def _requirements() -> Json:
    lists = ("alternatives", "currently_due", "errors", "eventually_due", "past_due", "pending_verification")
    return {**{name: [] for name in lists}, "current_deadline": None, "disabled_reason": None}


ROUTES = [
    Route("GET", "/v1/account", retrieve, {}),
    Route("GET", "/v1/accounts/{id}", retrieve, {}),
]
