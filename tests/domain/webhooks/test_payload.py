"""Payloads that are accepted as Stripe events, and those that are rejected at the ingress."""

from datetime import UTC, datetime
from typing import Any

import pytest

from services.webhooks.domain.stripe_event import IncomingEvent, InvalidEvent, in_mode, livemode_of
from services.webhooks.ingress.payload import PAYLOAD_MAX_BYTES, read_event
from tests.support.webhook_events import body, stripe_event

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)


def read(event: Any) -> IncomingEvent:
    return read_event(body(event), NOW)


def test_an_event_is_kept_as_it_came() -> None:
    payload = (
        b' {"id":"evt_1", "object":"event", "type":"invoice.paid", "created":1768478400,"data":{"object":{}}}'
    )
    assert read_event(payload, NOW) == IncomingEvent(
        event_id="evt_1",
        type="invoice.paid",
        status="received",
        created_at=NOW,
        received_at=NOW,
        payload=payload,
    )


@pytest.mark.parametrize(
    ("event_type", "account", "status"),
    [
        ("account.updated", "acct_1", "received"),
        ("payout.failed", "acct_1", "received"),
        ("transfer.reversed", None, "received"),
        # What a connected account sells to its own customers is not ours.
        ("customer.subscription.updated", "acct_1", "ignored"),
        ("invoice.paid", "acct_1", "ignored"),
    ],
)
def test_events_of_connected_accounts(event_type: str, account: str | None, status: str) -> None:
    changes = {"account": account} if account else {}
    assert read(stripe_event("evt_1", event_type, **changes)).status == status


def test_types_that_nobody_acts_on_are_ignored() -> None:
    assert read(stripe_event(event_type="charge.succeeded")).status == "ignored"
    assert read(stripe_event(event_type="customer.subscription.deleted")).status == "received"


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None},
        {"id": 7},
        {"id": ""},
        {"id": "evt_*"},
        {"id": "evt 1"},
        {"id": "evt.1"},
        {"id": "evt_1\n"},
        {"id": "../evt_1"},
        {"id": "evt_" + "x" * 97},
        {"object": "customer"},
        {"object": None},
        {"type": None},
        {"type": "updated"},
        {"type": "customer.>"},
        {"type": "customer.*"},
        {"type": "customer..updated"},
        {"type": ".customer"},
        {"type": "customer.up dated"},
        {"type": "customer.updated\n"},
        {"type": "customer.ü"},
        {"type": "a." + "x" * 119},
        {"type": "a.b.c.d.e.f.g.h.i"},
        {"created": "1768478400"},
        {"created": 1768478400.5},
        {"created": True},
        {"created": -1},
        {"created": 10**12},
        {"created": 10**30},
        {"data": None},
        {"data": {}},
        {"data": {"object": "sub_1"}},
        {"note": "NUL \x00"},
        {"no\x00te": 1},
        {"data": {"object": {"list": [{"text": "\x00"}]}}},
        {"amount": 2**63},
        {"amount": -(10**25)},
    ],
)
def test_what_could_not_be_stored_or_passed_on_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent):
        read(stripe_event() | changes)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b'"event"',
        b"{",
        b"\x00",
        b'{"id": "\xff"}',
        b'{"object":"event","id":"evt_1","type":"a.b","created":1,"data":{"object":{"text":"\\ud800"}}}',
        b'{"object":"event","id":"evt_1","type":"a.b","created":1,"data":{"object":{"n":1e999}}}',
        b'{"object":"event","id":"evt_1","type":"a.b","created":1,"data":{"object":{"n":NaN}}}',
        b"[" * 100_000,
        b'{"object":"event","id":"evt_1","type":"a.b","created":1,"data":{"object":{"n":'
        + b"[" * 90
        + b"]" * 90
        + b"}}}",
        b" " * (PAYLOAD_MAX_BYTES + 1),
    ],
)
def test_bytes_that_are_no_event_are_refused(payload: bytes) -> None:
    with pytest.raises(InvalidEvent):
        read_event(payload, NOW)


def test_what_only_looks_dangerous_passes() -> None:
    innocent = {
        "note": r"a backslash and u0000: \u0000",
        "digits": "1" * 40,
        "largest": 2**63 - 1,
        "many": [{"one": [1]}] * 200,
        "decimal": "0.000000000012345678901234567890",
        "float": 0.1,
    }
    assert read(stripe_event(data={"object": innocent})).event_id == "evt_1"


@pytest.mark.parametrize(
    ("key", "livemode"),
    [("sk_test_1", False), ("rk_live_1", True), ("sk_live_1", True), ("", None), (None, None), ("key", None)],
)
def test_the_mode_of_a_key(key: str | None, livemode: bool | None) -> None:
    assert livemode_of(key) is livemode


def test_an_event_of_the_other_mode_is_ignored_with_the_reason() -> None:
    live = read(stripe_event() | {"livemode": True})
    assert in_mode(live, True) is live
    assert in_mode(live, None) is live
    ignored = in_mode(live, False)
    assert ignored.status == "ignored"
    assert ignored.problem == "The event is of live mode, the key of this installation of test mode."
