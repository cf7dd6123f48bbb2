"""Webhook endpoints: URL, event types and signing secret."""

from __future__ import annotations

from sandbox.stripe import API_VERSION
from sandbox.stripe.account import Account, Json
from sandbox.stripe.lists import page
from sandbox.stripe.parameters import LIST, boolean, merge_metadata, metadata, text
from sandbox.stripe.routing import Route


def create(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/webhook_endpoints`; the only response with the secret."""
    endpoint = add_endpoint(account, params["url"], account.new_id("whsec"), params["enabled_events"])
    endpoint.update(
        metadata=merge_metadata(None, params.get("metadata")),
        description=params.get("description"),
        api_version=params.get("api_version"),
    )
    return {**endpoint, "secret": endpoint["_secret"]}


def add_endpoint(account: Account, url: str, secret: str, enabled_events: list[str]) -> Json:
    """Add an endpoint with a given secret."""
    return account.insert(
        {
            "id": account.new_id("we"),
            "object": "webhook_endpoint",
            "api_version": API_VERSION,
            "application": None,
            "created": account.now(),
            "description": None,
            "enabled_events": enabled_events,
            "livemode": False,
            "metadata": {},
            "status": "enabled",
            "url": url,
            "_secret": secret,
        }
    )


def set_default_endpoint(account: Account, url: str, secret: str) -> Json:
    """Set the endpoint of the command line, replacing a previous one."""
    with account.unit():
        known = account.find("webhook_endpoint", _from_command_line=True)
        if known:
            known[0].update(url=url, _secret=secret)
            return known[0]
        endpoint = add_endpoint(account, url, secret, ["*"])
        endpoint["_from_command_line"] = True
        return endpoint


def retrieve(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/webhook_endpoints/{id}`."""
    return account.get("webhook_endpoint", ids["id"])


def update(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/webhook_endpoints/{id}`."""
    endpoint = account.get("webhook_endpoint", ids["id"])
    if "disabled" in params:
        endpoint["status"] = "disabled" if params["disabled"] else "enabled"
    if "metadata" in params:
        endpoint["metadata"] = merge_metadata(endpoint["metadata"], params["metadata"])
    endpoint.update(
        {name: params[name] for name in ("url", "enabled_events", "description") if name in params}
    )
    return endpoint


def delete(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`DELETE /v1/webhook_endpoints/{id}`."""
    endpoint = account.get("webhook_endpoint", ids["id"])
    account.remove(endpoint)
    return {"id": endpoint["id"], "object": "webhook_endpoint", "deleted": True}


def list_endpoints(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/webhook_endpoints`."""
    return page(account.all("webhook_endpoint"), params, "/v1/webhook_endpoints")


_FIELDS = {"description": text, "metadata": metadata}

ROUTES = [
    Route(
        "POST",
        "/v1/webhook_endpoints",
        create,
        {**_FIELDS, "url!": text, "enabled_events!": [text], "api_version": text, "connect": boolean},
    ),
    Route("GET", "/v1/webhook_endpoints", list_endpoints, LIST),
    Route("GET", "/v1/webhook_endpoints/{id}", retrieve, {}),
    Route(
        "POST",
        "/v1/webhook_endpoints/{id}",
        update,
        {**_FIELDS, "url": text, "enabled_events": [text], "disabled": boolean},
    ),
    Route("DELETE", "/v1/webhook_endpoints/{id}", delete, {}),
]
