"""The commands and questions of webhooks on a real database, with the Stripe stand-in."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import orjson
import pytest

from services.webhooks import app  # noqa: F401 - registers the handlers
from services.webhooks.event_store.event_writer import EventWriter
from services.webhooks.ingress.nats_ingress import NatsIngress
from services.webhooks.ingress.payload import read_event
from services.webhooks.ingress.signature import Verifier
from services.webhooks.reconciliation.stripe_event_list import StripeEventList
from services.webhooks.service import service
from shared.errors import Unavailable
from shared.messaging.redelivery import Undeliverable
from tallystick.messages import webhooks as m
from tallystick.messages.base import Outcome
from tallystick.subjects import STRIPE_EVENTS_STREAM, Subjects
from tests.support.runtime import NOON, Bound, role_url
from tests.support.webhook_events import WEBHOOK_SECRET, body, signature, stripe_event

MINUTE = timedelta(minutes=1)
INGRESS_SUBJECT = "tunnel.incoming-webhook-events.stripe"


@pytest.fixture
async def ingest(service_database: str) -> AsyncIterator[EventWriter]:
    ingest = EventWriter(role_url(service_database, "webhooks"), Subjects())
    yield ingest
    await ingest.close()


@pytest.fixture
def webhooks(bind: Callable[..., Bound], ingest: EventWriter) -> Bound:
    ingress = NatsIngress(ingest, Verifier.of(WEBHOOK_SECRET), is_verified=False)
    return bind(service, ingest, ingress, StripeEventList(None, "http://127.0.0.1:9"))


@pytest.fixture
def store(ingest: EventWriter) -> Callable[..., Any]:
    async def store_event(
        event_id: str, event_type: str = "customer.updated", minutes: int = 0, **changes: Any
    ) -> bool:
        event = stripe_event(event_id, event_type, **changes)
        return await ingest.store(read_event(body(event), NOON + minutes * MINUTE))

    return store_event


def result_of(outcome: Outcome) -> dict[str, Any]:
    assert outcome.status == "succeeded", outcome
    assert outcome.result is not None
    return outcome.result


def code_of(outcome: Outcome) -> str:
    assert outcome.status == "rejected", outcome
    assert outcome.error is not None
    return outcome.error.code


async def event_of(webhooks: Bound, event_id: str) -> dict[str, Any]:
    found: dict[str, Any] = result_of(await webhooks.handle(m.GetEvent(event_id=event_id)))["event"]
    return found


async def test_an_event_is_stored_and_published_unchanged(webhooks: Bound, store: Callable[..., Any]) -> None:
    assert await store("evt_1", "customer.updated") is True
    event = await event_of(webhooks, "evt_1")
    assert event["payload"] == stripe_event("evt_1", "customer.updated")
    del event["payload"]
    assert event == {
        "event_id": "evt_1",
        "type": "customer.updated",
        "status": "received",
        "created_at": "2026-01-15T12:00:00Z",
        "received_at": "2026-01-15T12:00:00Z",
        "attempts": 0,
        "last_error": None,
    }
    (row,) = await webhooks.outbox()
    assert row["subject"] == "billing.stripe_events.customer.updated"
    assert (row["stream"], row["message_id"]) == ("BILLING_STRIPE_EVENTS", "evt_1")
    assert row["payload"] == body(stripe_event("evt_1", "customer.updated"))


async def test_the_same_event_again_changes_nothing(webhooks: Bound, store: Callable[..., Any]) -> None:
    assert await store("evt_1") is True
    assert await store("evt_1", created=1) is False
    assert len(await webhooks.outbox()) == 1
    assert (await event_of(webhooks, "evt_1"))["payload"]["created"] == 1_768_478_400


async def test_an_unknown_type_is_stored_as_ignored_and_published(
    webhooks: Bound, store: Callable[..., Any]
) -> None:
    await store("evt_1", "radar.early_fraud_warning.created")
    assert (await event_of(webhooks, "evt_1"))["status"] == "ignored"
    assert len(await webhooks.outbox()) == 1


async def test_an_event_nobody_sent_is_not_found(webhooks: Bound) -> None:
    assert code_of(await webhooks.handle(m.GetEvent(event_id="evt_none"))) == "not_found"
    report = m.RecordOutcome(command_id="r1", event_id="evt_none", status="applied", attempt=1)
    assert code_of(await webhooks.handle(report)) == "not_found"


async def test_events_are_listed_newest_first_page_by_page(
    webhooks: Bound, store: Callable[..., Any]
) -> None:
    for number, minutes in enumerate([0, 5, 5, 5, 9]):
        await store(f"evt_{number}", minutes=minutes)
    pages = []
    cursor = None
    while True:
        page = result_of(await webhooks.handle(m.ListEvents(limit=2, cursor=cursor)))
        pages.append([item["event_id"] for item in page["items"]])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert pages == [["evt_4", "evt_3"], ["evt_2", "evt_1"], ["evt_0"]]
    full = result_of(await webhooks.handle(m.ListEvents(limit=5)))
    assert (len(full["items"]), full["next_cursor"]) == (5, None)


async def test_lists_are_filtered_by_type_status_and_time(webhooks: Bound, store: Callable[..., Any]) -> None:
    await store("evt_1", "invoice.paid", minutes=0)
    await store("evt_2", "invoice.paid", minutes=1)
    await store("evt_3", "charge.succeeded", minutes=2)
    await store("evt_4", "customer.updated", minutes=3)

    async def ids(**filters: Any) -> list[str]:
        page = result_of(await webhooks.handle(m.ListEvents(**filters)))
        return [item["event_id"] for item in page["items"]]

    assert await ids(type="invoice.paid") == ["evt_2", "evt_1"]
    assert await ids(status="ignored") == ["evt_3"]
    assert await ids(status="received") == ["evt_4", "evt_2", "evt_1"]
    assert await ids(since=NOON + 2 * MINUTE) == ["evt_4", "evt_3"]
    assert await ids(status="received", type="invoice.paid", since=NOON + MINUTE) == ["evt_2"]


@pytest.mark.parametrize("cursor", ["é", "x", "WyJ4IiwgInkiXQ", "..", "W10"])
async def test_a_cursor_that_is_none_is_refused(webhooks: Bound, cursor: str) -> None:
    outcome = await webhooks.handle_body("list_events", orjson.dumps({"cursor": cursor}))
    assert code_of(outcome) == "invalid_message"


async def test_reports_are_noted(webhooks: Bound, store: Callable[..., Any]) -> None:
    await store("evt_1")

    async def report(number: int, status: m.StoredEventStatus, attempt: int, error: str | None) -> str:
        command = m.RecordOutcome(
            command_id=f"report-{number}", event_id="evt_1", status=status, attempt=attempt, error=error
        )
        status_now: str = result_of(await webhooks.handle(command))["status"]
        return status_now

    assert await report(1, "failed", 1, "boom") == "failed"
    event = await event_of(webhooks, "evt_1")
    assert (event["status"], event["attempts"], event["last_error"]) == ("failed", 1, "boom")
    assert await report(2, "applied", 2, None) == "applied"
    assert await report(3, "failed", 1, "late") == "applied"
    event = await event_of(webhooks, "evt_1")
    assert (event["status"], event["attempts"], event["last_error"]) == ("applied", 2, None)


async def test_named_events_are_replayed_under_new_message_ids(
    webhooks: Bound, store: Callable[..., Any]
) -> None:
    for number in range(3):
        await store(f"evt_{number}", minutes=number)
    await webhooks.handle(m.RecordOutcome(command_id="r", event_id="evt_2", status="applied", attempt=4))
    replay = m.Replay(command_id="again", event_ids=["evt_2", "evt_0", "evt_2"])
    assert result_of(await webhooks.handle(replay)) == {"replayed": 2}
    rows = (await webhooks.outbox())[3:]
    assert [orjson.loads(row["payload"])["id"] for row in rows] == ["evt_0", "evt_2"]
    assert {row["stream"] for row in rows} == {"BILLING_STRIPE_EVENTS"}
    assert len({row["message_id"] for row in await webhooks.outbox()}) == 5
    event = await event_of(webhooks, "evt_2")
    assert (event["status"], event["attempts"]) == ("received", 0)


async def test_only_a_new_replay_command_publishes_again(webhooks: Bound, store: Callable[..., Any]) -> None:
    await store("evt_1")
    for _ in range(3):
        assert result_of(await webhooks.handle(m.Replay(command_id="once", event_ids=["evt_1"]))) == {
            "replayed": 1
        }
    assert len(await webhooks.outbox()) == 2
    await webhooks.handle(m.Replay(command_id="twice", event_ids=["evt_1"]))
    assert len({row["message_id"] for row in await webhooks.outbox()}) == 3


async def test_a_replay_with_an_unknown_event_publishes_none(
    webhooks: Bound, store: Callable[..., Any]
) -> None:
    await store("evt_1")
    outcome = await webhooks.handle(m.Replay(command_id="r", event_ids=["evt_1", "evt_x"]))
    assert code_of(outcome) == "not_found"
    assert outcome.error is not None
    assert outcome.error.details == {"event_ids": ["evt_x"]}
    assert len(await webhooks.outbox()) == 1


async def test_a_span_of_any_length_is_replayed_in_arrival_order(
    webhooks: Bound, store: Callable[..., Any]
) -> None:
    for number in range(250):
        await store(
            f"evt_{number:03}", "invoice.paid" if number % 5 else "charge.succeeded", minutes=number // 10
        )
    webhooks.now = NOON + 60 * MINUTE
    span = m.Replay(command_id="span", since=NOON + MINUTE, until=NOON + 24 * MINUTE)
    assert result_of(await webhooks.handle(span)) == {"replayed": 230}
    ids = [orjson.loads(row["payload"])["id"] for row in (await webhooks.outbox())[250:]]
    assert ids == [f"evt_{number:03}" for number in range(10, 240)]
    of_one_type = m.Replay(
        command_id="type", since=NOON, until=NOON + 100 * MINUTE, types=["charge.succeeded"]
    )
    assert result_of(await webhooks.handle(of_one_type)) == {"replayed": 50}
    assert (await event_of(webhooks, "evt_000"))["status"] == "ignored"


async def test_a_replay_that_was_interrupted_goes_on_where_it_was(
    webhooks: Bound, store: Callable[..., Any]
) -> None:
    for number in range(150):
        await store(f"evt_{number:03}", minutes=number)
    webhooks.now = NOON + timedelta(days=1)
    await webhooks.rows(
        "INSERT INTO webhooks.replays VALUES ('span', %s, 'evt_099', 100) RETURNING 1", NOON + 99 * MINUTE
    )
    span = m.Replay(command_id="span", since=NOON, until=NOON + timedelta(hours=5))
    assert result_of(await webhooks.handle(span)) == {"replayed": 150}
    assert len(await webhooks.outbox()) == 150 + 50


async def test_reconcile_without_a_key_is_refused(webhooks: Bound) -> None:
    outcome = await webhooks.handle(m.Reconcile(command_id="c", since=NOON))
    assert code_of(outcome) == "payments_not_configured"
    await webhooks.tick("reconcile", NOON)
    assert await webhooks.rows("SELECT * FROM webhooks.reconciled") == []


async def test_a_signed_message_is_accepted_after_any_wait(webhooks: Bound) -> None:
    payload = body(stripe_event("evt_1"))
    webhooks.now = NOON  # when JetStream took it in; the clock on the wall is far from there
    header = signature(payload, now=NOON.timestamp(), age_seconds=5)
    await webhooks.follow("webhooks-ingress", INGRESS_SUBJECT, payload, headers={"Stripe-Signature": header})
    assert (await event_of(webhooks, "evt_1"))["status"] == "received"


async def test_messages_that_cannot_be_stored_are_undeliverable(webhooks: Bound) -> None:
    payload = body(stripe_event("evt_1"))
    good = signature(payload, now=NOON.timestamp())
    stale = signature(payload, now=NOON.timestamp(), age_seconds=360)
    poison = b'{"object":"event","id":"evt_*"}'
    poison_signature = signature(poison, now=NOON.timestamp())
    for sent, header in [(payload + b" ", good), (payload, stale), (payload, ""), (poison, poison_signature)]:
        headers = {"stripe-signature": header} if header else {}
        with pytest.raises(Undeliverable):
            await webhooks.follow("webhooks-ingress", INGRESS_SUBJECT, sent, headers=headers)
    assert await webhooks.rows("SELECT * FROM webhooks.stripe_events") == []


async def test_without_a_secret_messages_wait_for_it(bind: Callable[..., Bound], ingest: EventWriter) -> None:
    webhooks = bind(service, ingest, NatsIngress(ingest, None, is_verified=False))
    with pytest.raises(Unavailable, match="STRIPE_WEBHOOK_SECRET"):
        await webhooks.follow("webhooks-ingress", INGRESS_SUBJECT, body(stripe_event()))


async def test_an_ingress_that_has_verified_needs_no_signature(
    bind: Callable[..., Bound], ingest: EventWriter
) -> None:
    webhooks = bind(service, ingest, NatsIngress(ingest, None, is_verified=True))
    await webhooks.follow("webhooks-ingress", INGRESS_SUBJECT, body(stripe_event("evt_1")))
    assert len(await webhooks.outbox()) == 1


async def test_an_event_of_live_mode_at_a_test_key_is_stored_and_not_published(
    service_database: str, webhooks: Bound
) -> None:
    """Stripe signs both; the key cannot see the objects of the other mode. A replay leaves it out, too."""
    ingest = EventWriter(role_url(service_database, "webhooks"), Subjects(), livemode=False)
    for event_id, livemode in (("evt_live", True), ("evt_test", False)):
        event = stripe_event(event_id, "customer.updated", livemode=livemode)
        assert await ingest.store(read_event(body(event), NOON))
    await ingest.close()
    replay = m.Replay(command_id="replay", event_ids=["evt_live", "evt_test"])
    assert result_of(await webhooks.handle(replay)) == {"replayed": 1}
    published = [row["payload"] for row in await webhooks.outbox(STRIPE_EVENTS_STREAM)]
    assert len(published) == 2
    assert not any(b"evt_live" in payload for payload in published)
    found = result_of(await webhooks.handle(m.GetEvent(event_id="evt_live")))["event"]
    assert found["status"] == "ignored"
    assert "of live mode" in found["last_error"]
