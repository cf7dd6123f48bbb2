"""Subscription schedules: phases that take effect at their boundaries."""

from __future__ import annotations

from sandbox.stripe import tax_rates
from sandbox.stripe.account import Account, Action, Json
from sandbox.stripe.billing import calendar, creation, execution, lines, phases, subscription_status
from sandbox.stripe.billing.updates import updating
from sandbox.stripe.faults import invalid, missing_parameter
from sandbox.stripe.lists import page
from sandbox.stripe.parameters import (
    LIST,
    anything,
    boolean,
    integer,
    integer_or,
    merge_metadata,
    metadata,
    one_of,
    text,
)
from sandbox.stripe.routing import Route

MAX_PHASES = 10
"""Stripe's limit of current and future phases."""
OPEN = frozenset(["not_started", "active"])


def create(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/subscription_schedules`: for an existing subscription, or one that begins later."""
    if params.get("from_subscription"):
        if set(params) - {"from_subscription", "metadata"}:
            raise invalid("You cannot set other parameters with `from_subscription`.", "from_subscription")
        return _from_subscription(account, params)
    if not params.get("customer") or not params.get("phases"):
        raise missing_parameter("phases" if params.get("customer") else "customer")
    customer = account.refer("customer", params["customer"], "customer")
    now = account.now(customer)
    start = now if params.get("start_date") in (None, "now") else params["start_date"]
    schedule = _new(account, customer, now, params)
    schedule["phases"] = _phases(account, params["phases"], start, schedule)
    account.insert(schedule)
    account.emit("subscription_schedule.created", schedule)
    if start <= now:
        _begin(account, schedule)
    return schedule


def retrieve(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/subscription_schedules/{id}`."""
    return account.get("subscription_schedule", ids["id"])


def update(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/subscription_schedules/{id}`. All phases are replaced; the current one keeps its start."""
    schedule = account.get("subscription_schedule", ids["id"])
    _must_be_open(schedule, "update")
    changes: Json = {}
    if params.get("phases"):
        current = schedule["current_phase"]
        first = params["phases"][0].get("start_date")
        start = first if isinstance(first, int) else (current or schedule["phases"][0])["start_date"]
        changes["phases"] = _phases(account, params["phases"], start, schedule)
        if current is not None:
            now = account.now(schedule)
            running = next(
                (each for each in changes["phases"] if each["start_date"] <= now < each["end_date"]), None
            )
            if running is None:
                raise invalid("One of the phases must be the current one.", "phases")
            changes["current_phase"] = {"start_date": running["start_date"], "end_date": running["end_date"]}
            _keep_or_end_trial(account, schedule, running, now)
    if params.get("default_settings"):
        changes["default_settings"] = {**schedule["default_settings"], **params["default_settings"]}
    if params.get("end_behavior"):
        changes["end_behavior"] = params["end_behavior"]
    if "metadata" in params:
        changes["metadata"] = merge_metadata(schedule["metadata"], params["metadata"])
    account.change(schedule, "subscription_schedule.updated", **changes)
    return schedule


def _keep_or_end_trial(account: Account, schedule: Json, running: Json, at: int) -> None:
    """Set the trial end from the current phase; without one the trial ends."""
    subscription = account.get("subscription", schedule["subscription"])
    if subscription["status"] != "trialing" or running["trial_end"] == subscription["trial_end"]:
        return
    with updating(account, subscription):
        execution.execute(account, subscription, {"trial_end": running["trial_end"] or "now"}, at)


def cancel(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/subscription_schedules/{id}/cancel`, including its subscription."""
    schedule = account.get("subscription_schedule", ids["id"])
    _must_be_open(schedule, "cancel")
    now = account.now(schedule)
    if schedule["subscription"] is None:
        schedule.update(status="canceled", canceled_at=now, current_phase=None)
        account.emit("subscription_schedule.canceled", schedule)
        return schedule
    subscription = account.get("subscription", schedule["subscription"])
    with updating(account, subscription):
        subscription_status.end(account, subscription, now, reason="cancellation_requested")
    return schedule


def release(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/subscription_schedules/{id}/release`: the subscription continues unchanged."""
    schedule = account.get("subscription_schedule", ids["id"])
    _must_be_open(schedule, "release")
    if schedule["subscription"] is None:
        raise invalid("A schedule that has not started has no subscription to release.")
    phases.release(account, schedule, account.now(schedule))
    return schedule


def list_schedules(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/subscription_schedules`, by `customer` and `scheduled`."""
    equals = {"customer": params["customer"]} if params.get("customer") else {"test_clock": None}
    found = account.find("subscription_schedule", **equals)
    if params.get("scheduled"):
        found = [schedule for schedule in found if schedule["status"] == "not_started"]
    return page(found, params, "/v1/subscription_schedules")


def due(account: Account, until: int, clock_id: str | None) -> list[tuple[int, Action]]:
    """Start schedules that are due; started ones advance with their subscription."""
    return [
        (schedule["phases"][0]["start_date"], _beginning(account, schedule["id"]))
        for schedule in account.each("subscription_schedule", test_clock=clock_id, status="not_started")
        if schedule["phases"][0]["start_date"] <= until
    ]


def _beginning(account: Account, schedule_id: str) -> Action:
    return lambda: _begin(account, account.get("subscription_schedule", schedule_id))


def _from_subscription(account: Account, params: Json) -> Json:
    subscription = account.refer("subscription", params["from_subscription"], "from_subscription")
    if subscription["schedule"] is not None:
        raise invalid(
            "You cannot migrate a subscription that is already attached to a schedule:"
            f" `{subscription['schedule']}`.",
            "from_subscription",
        )
    if subscription["status"] in subscription_status.ENDED:
        raise invalid("You cannot migrate a canceled subscription.", "from_subscription")
    customer = account.get("customer", subscription["customer"])
    schedule = _new(account, customer, account.now(customer), params)
    start, end = lines.period_of(subscription)
    wanted = [
        {
            "price": item["price"]["id"],
            "quantity": item.get("quantity"),
            "metadata": item["metadata"],
        }
        for item in subscription["items"]["data"]
    ]
    phase = {"items": wanted, "end_date": end, "currency": subscription["currency"]}
    if subscription["status"] == "trialing":
        phase["trial_end"] = subscription["trial_end"]
    schedule["default_settings"]["automatic_tax"] = dict(subscription["automatic_tax"])
    schedule["phases"] = _phases(account, [phase], start, schedule)
    _copy_tax_rates(subscription, schedule["phases"][0])
    schedule.update(subscription=subscription["id"], status="active")
    schedule["current_phase"] = {"start_date": start, "end_date": end}
    account.insert(schedule)
    account.emit("subscription_schedule.created", schedule)
    with updating(account, subscription):
        subscription["schedule"] = schedule["id"]
    return schedule


def _copy_tax_rates(subscription: Json, phase: Json) -> None:
    """Copy the tax rates of a subscription to a phase, archived ones too: it has them already."""
    phase["default_tax_rates"] = list(subscription["default_tax_rates"])
    for item, copied in zip(subscription["items"]["data"], phase["items"], strict=True):
        copied["tax_rates"] = list(item["tax_rates"])


def _new(account: Account, customer: Json, now: int, params: Json) -> Json:
    defaults: Json = {
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": "automatic",
        "billing_thresholds": None,
        "collection_method": "charge_automatically",
        "default_payment_method": None,
        "description": None,
        "invoice_settings": {"account_tax_ids": None, "days_until_due": None, "issuer": {"type": "self"}},
        "on_behalf_of": None,
        "transfer_data": None,
    }
    return {
        "id": account.new_id("sub_sched"),
        "object": "subscription_schedule",
        "application": None,
        "billing_mode": {"flexible": {"proration_discounts": "included"}, "type": "flexible"},
        "canceled_at": None,
        "completed_at": None,
        "created": now,
        "current_phase": None,
        "customer": customer["id"],
        "customer_account": None,
        "default_settings": {**defaults, **(params.get("default_settings") or {})},
        "end_behavior": params.get("end_behavior") or "release",
        "livemode": False,
        "metadata": merge_metadata(None, params.get("metadata")),
        "phases": [],
        "released_at": None,
        "released_subscription": None,
        "status": "not_started",
        "subscription": None,
        "test_clock": customer.get("test_clock"),
    }


def _phases(account: Account, given: list[Json], start: int, schedule: Json) -> list[Json]:
    """Return the phases with consecutive start and end dates."""
    if len(given) > MAX_PHASES:
        raise invalid(f"A schedule can have at most {MAX_PHASES} current and future phases.", "phases")
    found: list[Json] = []
    for index, params in enumerate(given):
        path = f"phases[{index}]"
        wanted = [
            _item(account, each, f"{path}[items][{at}]") for at, each in enumerate(params.get("items") or [])
        ]
        if not wanted:
            raise missing_parameter(f"{path}[items]")
        begin = params["start_date"] if isinstance(params.get("start_date"), int) else start
        if found and begin != found[-1]["end_date"]:
            raise invalid("A phase must begin where the phase before it ends.", f"{path}[start_date]")
        end = _end(account, params, begin, wanted, schedule, path)
        if end <= begin:
            raise invalid("A phase must end after it begins.", f"{path}[end_date]")
        found.append(_phase(account, params, begin, end, wanted))
        start = end
    return found


def _end(account: Account, params: Json, start: int, wanted: list[Json], schedule: Json, path: str) -> int:
    if isinstance(params.get("end_date"), int):
        return int(params["end_date"])
    recurring = account.get("price", wanted[0]["price"])["recurring"]
    interval, count = recurring["interval"], recurring["interval_count"]
    duration = params.get("duration")
    times = params.get("iterations") or 1
    if duration:
        interval, count, times = duration["interval"], duration.get("interval_count") or 1, 1
    anchor = start
    if schedule["subscription"] is not None:
        anchor = account.get("subscription", schedule["subscription"])["billing_cycle_anchor"]
    # Counted along the subscription's cycle, so that a phase ends with a period even after a short month.
    for _ in range(times):
        start = calendar.next_boundary(anchor, interval, count, start)
    return start


def _item(account: Account, params: Json, path: str) -> Json:
    price = account.refer("price", params["price"], f"{path}[price]") if params.get("price") else None
    if price is None:
        raise missing_parameter(f"{path}[price]")
    quantity = params.get("quantity")
    metered = price["recurring"] and price["recurring"]["usage_type"] == "metered"
    return {
        "billing_thresholds": None,
        "discounts": [],
        "metadata": merge_metadata(None, params.get("metadata")),
        "plan": price["id"],
        "price": price["id"],
        "quantity": None if metered else 1 if quantity is None else quantity,
        "tax_rates": tax_rates.resolve(account, params.get("tax_rates"), f"{path}[tax_rates]"),
    }


def _phase(account: Account, params: Json, start: int, end: int, wanted: list[Json]) -> Json:
    tax = params.get("automatic_tax")
    return {
        "add_invoice_items": [],
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "liability": None, **tax} if tax else None,
        "billing_cycle_anchor": params.get("billing_cycle_anchor"),
        "billing_thresholds": None,
        "collection_method": params.get("collection_method"),
        "currency": account.get("price", wanted[0]["price"])["currency"],
        "default_payment_method": params.get("default_payment_method"),
        "default_tax_rates": tax_rates.resolve(account, params.get("default_tax_rates"), "default_tax_rates"),
        "description": params.get("description"),
        "discounts": [],
        "end_date": end,
        "invoice_settings": params.get("invoice_settings"),
        "items": wanted,
        "metadata": merge_metadata(None, params.get("metadata")),
        "on_behalf_of": None,
        "proration_behavior": params.get("proration_behavior") or "create_prorations",
        "start_date": start,
        "transfer_data": None,
        "trial_end": params.get("trial_end"),
    }


def _begin(account: Account, schedule: Json) -> None:
    """Create the subscription of the first phase."""
    phase = schedule["phases"][0]
    settings = schedule["default_settings"]
    params = {
        "customer": schedule["customer"],
        "items": [
            {
                "price": each["price"],
                "quantity": each["quantity"],
                "tax_rates": [rate["id"] for rate in each["tax_rates"]],
            }
            for each in phase["items"]
        ],
        "automatic_tax": {"enabled": (phase["automatic_tax"] or settings["automatic_tax"])["enabled"]},
        "default_tax_rates": [rate["id"] for rate in phase["default_tax_rates"]],
        "metadata": phase["metadata"],
        "collection_method": phase["collection_method"] or settings["collection_method"],
        "days_until_due": (phase["invoice_settings"] or settings["invoice_settings"]).get("days_until_due"),
        "default_payment_method": phase["default_payment_method"] or settings["default_payment_method"],
        "payment_behavior": "default_incomplete",
    }
    subscription = creation.create_subscription(account, {k: v for k, v in params.items() if v is not None})
    with updating(account, subscription):
        subscription["schedule"] = schedule["id"]
    schedule.update(
        status="active",
        subscription=subscription["id"],
        current_phase={"start_date": phase["start_date"], "end_date": phase["end_date"]},
    )
    account.emit("subscription_schedule.updated", schedule, {"status": "not_started"})
    creation.collect(account, subscription)


def _must_be_open(schedule: Json, word: str) -> None:
    if schedule["status"] not in OPEN:
        raise invalid(f"You cannot {word} a subscription schedule that is {schedule['status']}.")


_TAX = {"enabled!": boolean, "liability": anything}
_ITEM = {"price": text, "quantity": integer, "metadata": metadata, "tax_rates": [text]}
_PHASE = {
    "items!": [_ITEM],
    "automatic_tax": _TAX,
    "billing_cycle_anchor": one_of("automatic", "phase_start"),
    "collection_method": one_of("charge_automatically", "send_invoice"),
    "currency": text,
    "default_payment_method": text,
    "default_tax_rates": [text],
    "description": text,
    "duration": {"interval!": one_of("day", "week", "month", "year"), "interval_count": integer},
    "end_date": integer,
    "invoice_settings": {"days_until_due": integer},
    "iterations": integer,
    "metadata": metadata,
    "proration_behavior": one_of("always_invoice", "create_prorations", "none"),
    "start_date": integer_or("now"),
    "trial_end": integer,
}
_COMMON = {
    "default_settings": {
        "automatic_tax": _TAX,
        "collection_method": one_of("charge_automatically", "send_invoice"),
        "default_payment_method": text,
        "description": text,
        "invoice_settings": {"days_until_due": integer},
    },
    "end_behavior": one_of("cancel", "release"),
    "metadata": metadata,
    "phases": [_PHASE],
}
_PATH = "/v1/subscription_schedules"

ROUTES = [
    Route(
        "POST",
        _PATH,
        create,
        {**_COMMON, "customer": text, "from_subscription": text, "start_date": integer_or("now")},
    ),
    Route("GET", _PATH, list_schedules, {**LIST, "customer": text, "scheduled": boolean}),
    Route("GET", _PATH + "/{id}", retrieve, {}),
    Route(
        "POST",
        _PATH + "/{id}",
        update,
        {**_COMMON, "proration_behavior": one_of("always_invoice", "create_prorations", "none")},
    ),
    Route("POST", _PATH + "/{id}/cancel", cancel, {}),
    Route("POST", _PATH + "/{id}/release", release, {}),
]
