"""Meters and meter events: each event is recorded once and aggregated for billing."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from fractions import Fraction

from sandbox.stripe.account import Account, Json
from sandbox.stripe.faults import StripeFault, invalid, missing_parameter
from sandbox.stripe.lists import as_list, page
from sandbox.stripe.parameters import LIST, integer, metadata, one_of, text
from sandbox.stripe.routing import Route

MAX_EVENT_AGE_SECONDS = 35 * 86_400
MAX_EVENT_AHEAD_SECONDS = 5 * 60
"""Stripe accepts events of the last 35 days and the next five minutes."""
IDENTIFIER_SECONDS = 24 * 3600
"""A duplicate identifier is rejected for at least a day."""
_WINDOW_SECONDS = {"hour": 3600, "day": 86_400}
_EVENT = "billing.meter_event"


def usage(account: Account, meter_id: str, customer_id: str, start: int, end: int) -> Fraction:
    """Return a customer's usage from `start` until before `end`, by the meter's formula."""
    meter = account.get("billing.meter", meter_id)
    events = [
        event
        for event in account.find(_EVENT, _meter=meter_id, _customer=customer_id)
        if start <= event["timestamp"] < end
    ]
    formula = meter["default_aggregation"]["formula"]
    if formula == "count":
        return Fraction(len(events))
    values = [
        Fraction(Decimal(event["_value"])) for event in sorted(events, key=lambda each: each["timestamp"])
    ]
    if formula == "last":
        return values[-1] if values else Fraction(0)
    return sum(values, Fraction(0))


def create(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/billing/meters`."""
    if any(
        meter["status"] == "active"
        for meter in account.find("billing.meter", event_name=params["event_name"])
    ):
        raise invalid(f"A meter with event name {params['event_name']} already exists.", "event_name")
    now = account.now()
    mapping = params.get("customer_mapping") or {}
    meter = account.insert(
        {
            "id": account.new_id("mtr_test"),
            "object": "billing.meter",
            "created": now,
            "customer_mapping": {
                "event_payload_key": mapping.get("event_payload_key") or "stripe_customer_id",
                "type": "by_id",
            },
            "default_aggregation": params["default_aggregation"],
            "display_name": params["display_name"],
            "event_name": params["event_name"],
            "event_time_window": params.get("event_time_window"),
            "livemode": False,
            "status": "active",
            "status_transitions": {"deactivated_at": None},
            "updated": now,
            "value_settings": params.get("value_settings") or {"event_payload_key": "value"},
        }
    )
    account.emit("billing.meter.created", meter)
    return meter


def retrieve(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/billing/meters/{id}`."""
    return account.get("billing.meter", ids["id"])


def update(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/billing/meters/{id}`: name only."""
    meter = account.get("billing.meter", ids["id"])
    if params.get("display_name"):
        account.change(
            meter, "billing.meter.updated", display_name=params["display_name"], updated=account.now()
        )
    return meter


def list_meters(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/billing/meters`, by `status`."""
    equals = {"status": params["status"]} if params.get("status") else {}
    return page(account.find("billing.meter", **equals), params, "/v1/billing/meters")


def deactivate(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/billing/meters/{id}/deactivate`."""
    return _switch(account, ids["id"], "inactive", "deactivated")


def reactivate(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/billing/meters/{id}/reactivate`."""
    return _switch(account, ids["id"], "active", "reactivated")


def record(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/billing/meter_events`. An identifier counts once."""
    meter = _active_meter(account, params["event_name"])
    payload = params["payload"]
    customer_id = payload.get(meter["customer_mapping"]["event_payload_key"])
    if not customer_id:
        raise missing_parameter(f"payload[{meter['customer_mapping']['event_payload_key']}]")
    customer = account.refer("customer", customer_id, "payload")
    now = account.now(customer)
    timestamp = params.get("timestamp") or now
    if not now - MAX_EVENT_AGE_SECONDS <= timestamp <= now + MAX_EVENT_AHEAD_SECONDS:
        raise StripeFault(
            "The timestamp must be within the past 35 calendar days or up to 5 minutes in the future.",
            param="timestamp",
            code="timestamp_too_far_in_past" if timestamp < now else "timestamp_in_future",
        )
    identifier = params.get("identifier") or account.new_id("mtr_evt")
    for event in account.find(_EVENT, identifier=identifier):
        if event["created"] > now - IDENTIFIER_SECONDS:
            raise invalid(f"An event already exists with identifier {identifier}.", "identifier")
    event = account.insert(
        {
            "id": account.new_id("_mtrevt"),
            "object": _EVENT,
            "created": now,
            "event_name": params["event_name"],
            "identifier": identifier,
            "livemode": False,
            "payload": payload,
            "timestamp": timestamp,
            "_meter": meter["id"],
            "_customer": customer_id,
            "_value": _value(meter, payload),
        }
    )
    # Stripe returns meter events without an id.
    return {name: value for name, value in event.items() if name != "id"}


def adjust(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/billing/meter_event_adjustments`: cancel one event within a day."""
    identifier = (params.get("cancel") or {}).get("identifier")
    found = account.find(_EVENT, identifier=identifier, event_name=params["event_name"])
    if not identifier or not found:
        raise invalid(
            f"No event exists with identifier {identifier}.", "cancel[identifier]", "resource_missing"
        )
    account.remove(found[-1])
    return {
        "object": "billing.meter_event_adjustment",
        "cancel": {"identifier": identifier},
        "event_name": params["event_name"],
        "livemode": False,
        "status": "complete",
        "type": "cancel",
    }


def summaries(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/billing/meters/{id}/event_summaries` of a customer.

    One for the whole range, or one per hour or day.
    """
    meter = account.get("billing.meter", ids["id"])
    start, end = params["start_time"], params["end_time"]
    window = params.get("value_grouping_window")
    size = _WINDOW_SECONDS.get(window or "", 60)
    if start % size or end % size or start >= end:
        raise invalid(
            f"`start_time` and `end_time` must align with the start of a {window or 'minute'}.", "start_time"
        )
    step = size if window else end - start
    found = []
    for begin in range(start, end, step):
        amount = usage(account, meter["id"], params["customer"], begin, min(begin + step, end))
        if amount or not window:
            found.append(_summary(meter, params["customer"], begin, min(begin + step, end), amount))
    listed = page(found, {name: value for name, value in params.items() if name != "created"}, "")
    return as_list(
        listed["data"], f"/v1/billing/meters/{meter['id']}/event_summaries", has_more=listed["has_more"]
    )


def _summary(meter: Json, customer_id: str, start: int, end: int, amount: Fraction) -> Json:
    return {
        "id": f"mtrusg_test_{meter['id'][-8:]}_{customer_id[-8:]}_{start}_{end}",
        "object": "billing.meter_event_summary",
        "aggregated_value": int(amount) if amount.denominator == 1 else float(amount),
        "end_time": end,
        "livemode": False,
        "meter": meter["id"],
        "start_time": start,
    }


def _active_meter(account: Account, event_name: str) -> Json:
    for meter in account.find("billing.meter", event_name=event_name):
        if meter["status"] == "active":
            return meter
    raise invalid(
        f"No active meter found for event name {event_name}.",
        "event_name",
        "billing_meter_event_no_active_meter",
    )


def _value(meter: Json, payload: dict[str, str]) -> str:
    if meter["default_aggregation"]["formula"] == "count":
        return "1"
    key = meter["value_settings"]["event_payload_key"]
    value = payload.get(key)
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise invalid(f"The value of the event must be a non-negative number: {value}.", f"payload[{key}]")
    return str(value)


def _switch(account: Account, meter_id: str, status: str, word: str) -> Json:
    meter = account.get("billing.meter", meter_id)
    if meter["status"] == status:
        raise invalid(f"The meter is already {status}.")
    now = account.now()
    meter.update(
        status=status,
        status_transitions={"deactivated_at": now if status == "inactive" else None},
        updated=now,
    )
    account.emit(f"billing.meter.{word}", meter)
    return meter


_PATH = "/v1/billing/meters"

ROUTES = [
    Route(
        "POST",
        _PATH,
        create,
        {
            "display_name!": text,
            "event_name!": text,
            "default_aggregation!": {"formula!": one_of("count", "last", "sum")},
            "customer_mapping": {"event_payload_key!": text, "type!": one_of("by_id")},
            "event_time_window": one_of("day", "hour"),
            "value_settings": {"event_payload_key!": text},
        },
    ),
    Route("GET", _PATH, list_meters, {**LIST, "status": one_of("active", "inactive")}),
    Route("GET", _PATH + "/{id}", retrieve, {}),
    Route("POST", _PATH + "/{id}", update, {"display_name": text}),
    Route("POST", _PATH + "/{id}/deactivate", deactivate, {}),
    Route("POST", _PATH + "/{id}/reactivate", reactivate, {}),
    Route(
        "GET",
        _PATH + "/{id}/event_summaries",
        summaries,
        {
            **LIST,
            "customer!": text,
            "start_time!": integer,
            "end_time!": integer,
            "value_grouping_window": one_of("day", "hour"),
        },
    ),
    Route(
        "POST",
        "/v1/billing/meter_events",
        record,
        {"event_name!": text, "payload!": metadata, "identifier": text, "timestamp": integer},
    ),
    Route(
        "POST",
        "/v1/billing/meter_event_adjustments",
        adjust,
        {"event_name!": text, "type!": one_of("cancel"), "cancel": {"identifier": text}},
    ),
]
