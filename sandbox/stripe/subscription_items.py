"""Subscription item routes; a change of an item changes its subscription."""

from __future__ import annotations

from sandbox.stripe.account import Account, Json
from sandbox.stripe.billing import execution, items, subscription_status
from sandbox.stripe.billing.updates import updating
from sandbox.stripe.faults import invalid, missing_object
from sandbox.stripe.lists import page
from sandbox.stripe.parameters import LIST, boolean, integer, one_of, text
from sandbox.stripe.routing import Route

_BEHAVIOR = ("payment_behavior", "proration_behavior", "proration_date")


def create(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/subscription_items`."""
    subscription = account.refer("subscription", params["subscription"], "subscription")
    known = {item["id"] for item in subscription["items"]["data"]}
    _change(account, subscription, params, {})
    return next(item for item in subscription["items"]["data"] if item["id"] not in known)


def retrieve(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/subscription_items/{id}`."""
    return _find(account, ids["id"])[1]


def update(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/subscription_items/{id}`."""
    subscription, item = _find(account, ids["id"])
    _change(account, account.get("subscription", subscription["id"]), params, {"id": item["id"]})
    return _find(account, ids["id"])[1]


def delete(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`DELETE /v1/subscription_items/{id}`."""
    subscription, item = _find(account, ids["id"])
    gone = {"id": item["id"], "deleted": True}
    _change(account, account.get("subscription", subscription["id"]), params, gone)
    return {"id": item["id"], "object": "subscription_item", "deleted": True}


def list_items(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/subscription_items` of a subscription."""
    subscription = account.refer("subscription", params["subscription"], "subscription")
    return page(subscription["items"]["data"], params, "/v1/subscription_items", newest_first=False)


def _change(account: Account, subscription: Json, params: Json, which: Json) -> None:
    if subscription["status"] in subscription_status.ENDED:
        raise invalid("A canceled subscription can only update its cancellation_details and metadata.")
    item = {name: value for name, value in params.items() if name in items.CREATE_ITEM}
    behavior = {name: params[name] for name in _BEHAVIOR if name in params}
    with updating(account, subscription):
        given = {"items": [{**item, **which}], **behavior}
        execution.execute(account, subscription, given, account.now(subscription))


def _find(account: Account, item_id: str) -> tuple[Json, Json]:
    """Return a subscription, for reading only, and its item."""
    for subscription in account.each("subscription"):
        for item in subscription["items"]["data"]:
            if item["id"] == item_id:
                return subscription, item
    raise missing_object("subscription_item", item_id)


_BEHAVIOR_FIELDS = {
    "off_session": boolean,
    "payment_behavior": one_of(
        "allow_incomplete", "default_incomplete", "error_if_incomplete", "pending_if_incomplete"
    ),
    "proration_behavior": one_of("always_invoice", "create_prorations", "none"),
    "proration_date": integer,
}
_PATH = "/v1/subscription_items"

ROUTES = [
    Route("POST", _PATH, create, {**items.CREATE_ITEM, **_BEHAVIOR_FIELDS, "subscription!": text}),
    Route("GET", _PATH, list_items, {**LIST, "subscription!": text}),
    Route("GET", _PATH + "/{id}", retrieve, {}),
    Route("POST", _PATH + "/{id}", update, {**items.CREATE_ITEM, **_BEHAVIOR_FIELDS}),
    Route("DELETE", _PATH + "/{id}", delete, _BEHAVIOR_FIELDS),
]
