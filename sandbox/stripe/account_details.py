"""The platform's own account: `GET /v1/account`."""

from __future__ import annotations

from sandbox.stripe.account import Account, Json
from sandbox.stripe.lists import as_list
from sandbox.stripe.routing import Route

ACCOUNT_ID = "acct_sandbox000000001"


def retrieve(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/account`."""
    return {
        "id": ACCOUNT_ID,
        "object": "account",
        "business_profile": business_profile("Sandbox"),
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
        "settings": settings("Sandbox"),
        "tos_acceptance": {"date": None, "ip": None, "user_agent": None},
        "type": "standard",
    }


def business_profile(name: str | None) -> Json:
    """Return an account's profile, empty but for the name."""
    return {
        "annual_revenue": None, "estimated_worker_count": None, "mcc": None,
        "minority_owned_business_designation": None, "name": name, "product_description": None,
        "support_address": None, "support_email": None, "support_phone": None,
        "support_url": None, "url": None,
    }  # fmt: skip


def settings(display_name: str) -> Json:
    """Return an account's settings."""
    return {"dashboard": {"display_name": display_name, "timezone": "Etc/UTC"}}


def _requirements() -> Json:
    lists = ("alternatives", "currently_due", "errors", "eventually_due", "past_due", "pending_verification")
    return {**{name: [] for name in lists}, "current_deadline": None, "disabled_reason": None}


ROUTES = [Route("GET", "/v1/account", retrieve, {})]
