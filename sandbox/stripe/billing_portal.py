"""Billing portal sessions: short-lived pages on which a customer manages cards and subscriptions."""

from __future__ import annotations

from sandbox.stripe.account import Account, Json
from sandbox.stripe.faults import missing_parameter
from sandbox.stripe.lists import page
from sandbox.stripe.parameters import LIST, anything, boolean, merge_metadata, metadata, text
from sandbox.stripe.routing import Route

CONFIGURATION = "billing_portal.configuration"


def create(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/billing_portal/sessions`."""
    customer = account.refer("customer", params["customer"], "customer")
    if params.get("configuration"):
        configuration = account.refer(CONFIGURATION, params["configuration"], "configuration")
    else:
        configuration = default_configuration(account)
    return_url = params.get("return_url") or configuration["default_return_url"]
    if not return_url and not params.get("flow_data"):
        raise missing_parameter("return_url")
    session_id = account.new_id("bps")
    session = account.insert(
        {
            "id": session_id,
            "object": "billing_portal.session",
            "configuration": configuration["id"],
            "created": account.now(customer),
            "customer": customer["id"],
            "customer_account": None,
            "flow": params.get("flow_data"),
            "livemode": False,
            "locale": params.get("locale"),
            "on_behalf_of": None,
            "return_url": return_url,
            "url": f"{account.public_url}/p/session/{session_id}",
        }
    )
    account.emit("billing_portal.session.created", session)
    return session


def default_configuration(account: Account) -> Json:
    """Return the default configuration, creating it on first use."""
    found = account.find(CONFIGURATION, is_default=True)
    return found[0] if found else _insert(account, {"features": _DEFAULT_FEATURES}, is_default=True)


def create_configuration(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/billing_portal/configurations`."""
    return _insert(account, params, is_default=False)


def retrieve_configuration(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/billing_portal/configurations/{id}`."""
    return account.get(CONFIGURATION, ids["id"])


def update_configuration(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/billing_portal/configurations/{id}`."""
    configuration = account.get(CONFIGURATION, ids["id"])
    changes: Json = {
        name: params[name] for name in ("active", "name", "default_return_url") if name in params
    }
    if "metadata" in params:
        changes["metadata"] = merge_metadata(configuration["metadata"], params["metadata"])
    if params.get("features"):
        changes["features"] = _features({**configuration["features"], **params["features"]})
    changes["updated"] = account.now()
    account.change(configuration, "billing_portal.configuration.updated", **changes)
    return configuration


def list_configurations(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/billing_portal/configurations`."""
    equals = {name: params[name] for name in ("active", "is_default") if params.get(name) is not None}
    return page(account.find(CONFIGURATION, **equals), params, "/v1/billing_portal/configurations")


def _insert(account: Account, params: Json, *, is_default: bool) -> Json:
    profile = {"headline": None, "privacy_policy_url": None, "terms_of_service_url": None}
    now = account.now()
    configuration = account.insert(
        {
            "id": account.new_id("bpc"),
            "object": CONFIGURATION,
            "active": True,
            "application": None,
            "business_profile": {**profile, **(params.get("business_profile") or {})},
            "created": now,
            "default_return_url": params.get("default_return_url"),
            "features": _features(params["features"]),
            "is_default": is_default,
            "livemode": False,
            "login_page": {"enabled": False, "url": None},
            "metadata": merge_metadata(None, params.get("metadata")),
            "name": params.get("name"),
            "updated": now,
        }
    )
    account.emit("billing_portal.configuration.created", configuration)
    return configuration


def _features(given: Json) -> Json:
    """Return all features; missing ones are disabled."""

    def switched(name: str, **rest: object) -> Json:
        feature = {**rest, **(given.get(name) or {})}
        return {**feature, "enabled": str(feature.get("enabled", False)).lower() == "true"}

    return {
        "customer_update": switched("customer_update", allowed_updates=[]),
        "invoice_history": switched("invoice_history"),
        "payment_method_update": switched("payment_method_update", payment_method_configuration=None),
        "subscription_cancel": switched(
            "subscription_cancel",
            cancellation_reason={"enabled": False, "options": []},
            mode="at_period_end",
            proration_behavior="none",
        ),
        "subscription_update": switched(
            "subscription_update",
            billing_cycle_anchor=None,
            default_allowed_updates=[],
            proration_behavior="none",
            schedule_at_period_end={"conditions": []},
            trial_update_behavior="end_trial",
        ),
    }


_DEFAULT_FEATURES = {
    name: {"enabled": True} for name in ("invoice_history", "payment_method_update", "subscription_cancel")
}
_CONFIGURATION = {
    "business_profile": anything,
    "default_return_url": text,
    "login_page": anything,
    "metadata": metadata,
    "name": text,
}
_PATH = "/v1/billing_portal/configurations"

ROUTES = [
    Route(
        "POST",
        "/v1/billing_portal/sessions",
        create,
        {"customer!": text, "configuration": text, "flow_data": anything, "locale": text, "return_url": text},
    ),
    Route("POST", _PATH, create_configuration, {**_CONFIGURATION, "features!": anything}),
    Route("GET", _PATH, list_configurations, {**LIST, "active": boolean, "is_default": boolean}),
    Route("GET", _PATH + "/{id}", retrieve_configuration, {}),
    Route(
        "POST",
        _PATH + "/{id}",
        update_configuration,
        {**_CONFIGURATION, "features": anything, "active": boolean},
    ),
]
