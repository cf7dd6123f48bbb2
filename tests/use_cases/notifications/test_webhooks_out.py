"""Webhooks out: who gets which events, signatures, retries, and endpoints that fail."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook

from tallystick.messages import notifications as m
from tests.support.runtime import Bound
from tests.support.smtp_server import SmtpServer
from tests.support.webhook_receiver import ReceivedWebhook, WebhookReceiver
from tests.support.worlds.notifications import ACME, ANNA, NotificationsWorld, notifications_world


async def opens(
    mails: NotificationsWorld, url: str, events: list[str] | None = None, **fields: Any
) -> tuple[str, str]:
    """Create an endpoint; its id and secret."""
    command = m.CreateEndpoint(
        command_id=mails.next_id("create"), url=url, events=events or ["seat.*"], **fields
    )
    result = await mails.does(command)
    return result["endpoint"]["endpoint_id"], result["secret"]


def verified(webhook: ReceivedWebhook, secret: str, mails: NotificationsWorld) -> Any:
    """The body, if the official library accepts the signature; it judges the age by the real clock."""
    verifier = Webhook(secret)
    sent = {name: value for name, value in webhook.headers.items() if name.startswith("webhook-")}
    assert int(sent["webhook-timestamp"]) == int(mails.now.timestamp())
    signatures = sent["webhook-signature"].split(" ")
    assert verifier.sign(sent["webhook-id"], mails.now, webhook.body.decode()) in signatures
    return json.loads(webhook.body)


async def test_an_event_is_posted_signed_with_its_type(
    mails: NotificationsWorld, receiver: WebhookReceiver
) -> None:
    _, secret = await opens(mails, receiver.url("/a?b=c"))
    event = mails.seat()
    await mails.happens(event, "assigned")
    await mails.delivers()
    (webhook,) = receiver.received
    body = verified(webhook, secret, mails)
    assert webhook.path == "/a?b=c"
    assert webhook.headers["webhook-id"] == event.event_id == body["event_id"]
    assert webhook.headers["content-type"] == "application/json"
    assert body["type"] == "seat.assigned"
    assert body["seat"]["seat_id"] == "seat_1"
    (row,) = await mails.deliveries()
    assert (row["status"], row["attempts"], row["response_status"]) == ("succeeded", 1, 200)
    assert row["response_body"] == "thanks"
    assert row["duration_ms"] >= 0


async def test_patterns_and_customers_decide_who_gets_what(
    mails: NotificationsWorld, receiver: WebhookReceiver
) -> None:
    await opens(mails, receiver.url("/all"), ["*"])
    await opens(mails, receiver.url("/seats"), ["seat.*"], customer=ACME)
    await opens(mails, receiver.url("/claimed"), ["seat.claimed"])
    await opens(mails, receiver.url("/other"), ["*"], customer=ANNA)
    await mails.happens(mails.seat(), "assigned")
    await mails.happens(mails.seat(version=2, status="claimed"), "claimed")
    await mails.happens(mails.product(), "created")
    await mails.delivers()
    got = sorted((one.path, json.loads(one.body)["type"]) for one in receiver.received)
    assert got == [
        ("/all", "product.created"),
        ("/all", "seat.assigned"),
        ("/all", "seat.claimed"),
        ("/claimed", "seat.claimed"),
        ("/seats", "seat.assigned"),
        ("/seats", "seat.claimed"),
    ]


async def test_repeated_and_earlier_events_are_not_sent(
    mails: NotificationsWorld, receiver: WebhookReceiver
) -> None:
    earlier = mails.seat()
    mails.pass_time(seconds=1)
    await opens(mails, receiver.url())
    event = mails.seat(version=2)
    for _ in range(3):
        await mails.happens(earlier, "assigned")
        await mails.happens(event, "invitationResent")
        await mails.delivers()
    assert [one.headers["webhook-id"] for one in receiver.received] == [event.event_id]


async def test_a_failing_endpoint_is_tried_on_schedule(
    mails: NotificationsWorld, receiver: WebhookReceiver
) -> None:
    receiver.status = 500
    await opens(mails, receiver.url())
    await mails.happens(mails.seat(), "assigned")
    delays = []
    for _ in range(9):
        await mails.delivers()
        (row,) = await mails.deliveries()
        assert (row["status"], row["last_error"]) == ("pending", "HTTP 500")
        delays.append(row["next_attempt_at"] - mails.now)
        mails.pass_time(seconds=delays[-1].total_seconds() - 1)
        await mails.delivers()
        mails.pass_time(seconds=1)
    hours = [timedelta(hours=number) for number in (2, 5, 10, 14, 20, 24)]
    assert delays == [timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=30), *hours]
    await mails.delivers()
    (row,) = await mails.deliveries()
    assert (row["status"], row["attempts"], len(receiver.received)) == ("failed", 10, 10)


async def test_a_timestamp_is_that_of_the_attempt(
    mails: NotificationsWorld, receiver: WebhookReceiver
) -> None:
    receiver.statuses = [503]
    _, secret = await opens(mails, receiver.url())
    await mails.happens(mails.seat(), "assigned")
    await mails.delivers()
    verified(receiver.received[0], secret, mails)
    mails.pass_time(seconds=5)
    await mails.delivers()
    verified(receiver.received[1], secret, mails)
    assert receiver.received[0].headers["webhook-id"] == receiver.received[1].headers["webhook-id"]


@pytest.mark.parametrize("status", [301, 302, 400, 404, 429, 503])
async def test_only_2xx_is_success_and_redirects_are_not_followed(
    mails: NotificationsWorld, receiver: WebhookReceiver, status: int
) -> None:
    receiver.status = status
    receiver.headers = f"location: {receiver.url('/elsewhere')}\r\n"
    await opens(mails, receiver.url())
    await mails.happens(mails.seat(), "assigned")
    await mails.delivers()
    (row,) = await mails.deliveries()
    assert (row["status"], row["response_status"]) == ("pending", status)
    assert [one.path for one in receiver.received] == ["/hooks"]


async def test_only_the_beginning_of_an_answer_is_kept(
    mails: NotificationsWorld, receiver: WebhookReceiver
) -> None:
    receiver.answer = b"x" * 5_000_000
    await opens(mails, receiver.url())
    await mails.happens(mails.seat(), "assigned")
    await mails.delivers()
    (row,) = await mails.deliveries()
    assert (row["status"], len(row["response_body"])) == ("succeeded", 1_024)


async def test_after_five_days_of_failures_an_endpoint_is_disabled(
    mails: NotificationsWorld, receiver: WebhookReceiver
) -> None:
    receiver.status = 500
    endpoint_id, _ = await opens(mails, receiver.url(), customer=ACME)
    for day in range(6):
        await mails.happens(mails.seat(seat_id=f"seat_{day}"), "assigned")
        await mails.delivers()
        mails.pass_time(days=1)
    (endpoint,) = (await mails.asks(m.ListEndpoints(customer=ACME)))["items"]
    assert (endpoint["status"], endpoint["reason"]) == ("disabled", "it has failed for 5 days")
    assert (await mails.names())[-1] == "disabledV1"
    assert {row["status"] for row in await mails.deliveries()} == {"failed"}
    await mails.happens(mails.seat(seat_id="seat_9"), "assigned")
    assert len(await mails.deliveries()) == 6
    receiver.status = 200
    await mails.does(m.UpdateEndpoint(command_id="on", endpoint_id=endpoint_id, enabled=True))
    again = m.Redeliver(command_id="again", endpoint_id=endpoint_id, since=mails.now - timedelta(days=3))
    assert len((await mails.does(again))["deliveries"]) == 3
    await mails.delivers()
    assert [row["status"] for row in await mails.deliveries()] == ["failed"] * 3 + ["succeeded"] * 3


async def test_a_success_in_between_starts_the_five_days_anew(
    mails: NotificationsWorld, receiver: WebhookReceiver
) -> None:
    await opens(mails, receiver.url(), customer=ACME)
    for day in range(8):
        receiver.status = 200 if day == 4 else 500
        await mails.happens(mails.seat(seat_id=f"seat_{day}"), "assigned")
        await mails.delivers()
        mails.pass_time(days=1)
    (endpoint,) = (await mails.asks(m.ListEndpoints(customer=ACME)))["items"]
    assert endpoint["status"] == "enabled"


async def test_gone_disables_at_once(mails: NotificationsWorld, receiver: WebhookReceiver) -> None:
    receiver.status = 410
    await opens(mails, receiver.url(), customer=ACME)
    await mails.happens(mails.seat(), "assigned")
    await mails.delivers()
    (endpoint,) = (await mails.asks(m.ListEndpoints(customer=ACME)))["items"]
    assert (endpoint["status"], endpoint["reason"]) == ("disabled", "it answered 410 Gone")


async def test_both_secrets_sign_for_a_day_after_a_rotation(
    mails: NotificationsWorld, receiver: WebhookReceiver
) -> None:
    endpoint_id, old = await opens(mails, receiver.url())
    rotate = m.RotateEndpointSecret(command_id="rotate", endpoint_id=endpoint_id)
    new = (await mails.does(rotate))["secret"]
    assert new != old
    assert (await mails.does(rotate))["secret"] == new
    mails.pass_time(hours=23, minutes=59)
    await mails.happens(mails.seat(), "assigned")
    await mails.delivers()
    for secret in (old, new):
        verified(receiver.received[0], secret, mails)
    mails.pass_time(minutes=2)
    await mails.happens(mails.seat(version=2), "invitationResent")
    await mails.delivers()
    verified(receiver.received[1], new, mails)
    with pytest.raises(AssertionError):
        verified(receiver.received[1], old, mails)
    await mails.bound.tick("forget_deliveries", mails.now)
    (row,) = await mails.bound.rows("SELECT previous_secret FROM notifications.endpoints")
    assert row["previous_secret"] is None


async def test_secrets_are_stored_encrypted_and_shown_once(
    mails: NotificationsWorld, receiver: WebhookReceiver
) -> None:
    create = m.CreateEndpoint(command_id="create-1", url=receiver.url(), events=["*"], customer=ACME)
    first, second = await mails.does(create), await mails.does(create)
    secret = first["secret"]
    assert secret.startswith("whsec_")
    assert second["secret"] == secret
    everything = str(await mails.bound.rows("SELECT * FROM notifications.endpoints"))
    everything += str(await mails.bound.rows("SELECT * FROM notifications.inbox"))
    everything += str(await mails.bound.outbox()) + str(await mails.asks(m.ListEndpoints(customer=ACME)))
    assert secret.removeprefix("whsec_") not in everything


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/",
        "ftp://hooks.example.com/",
        "https://user:password@hooks.example.com/",
        "https://localhost/",
        "https://127.0.0.1/",
        "https://10.1.2.3/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://metadata.internal/",
        "https://intranet/",
        "https://hooks.example.com/#part",
        "https://hooks.example .com/",
        "nothing",
    ],
)
async def test_urls_that_are_refused(bind: Callable[..., Bound], smtp: SmtpServer, url: str) -> None:
    async with notifications_world(bind, smtp, allow_private=False) as mails:
        create = m.CreateEndpoint(command_id="create-1", url=url, events=["*"])
        assert await mails.refuses(create) == "endpoint_url_refused"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]"])
async def test_addresses_are_checked_when_it_connects(
    bind: Callable[..., Bound], smtp: SmtpServer, receiver: WebhookReceiver, host: str
) -> None:
    async with notifications_world(bind, smtp, allow_private=False) as mails:
        create = m.CreateEndpoint(command_id="create-1", url="https://hooks.example.com/", events=["*"])
        await mails.does(create)
        # As if the name led elsewhere now.
        await mails.bound.execute(
            f"UPDATE notifications.endpoints SET url = 'http://{host}:{receiver.port}/hooks'"
        )
        await mails.happens(mails.seat(), "assigned")
        await mails.delivers()
        (row,) = await mails.deliveries()
        assert (row["status"], receiver.count) == ("pending", 0)
        assert "private network" in row["last_error"]


async def test_a_customer_has_twenty_endpoints_at_most(mails: NotificationsWorld) -> None:
    for number in range(20):
        await opens(mails, f"https://hooks.example.com/{number}", customer=ACME)
    one_more = m.CreateEndpoint(
        command_id="more", url="https://hooks.example.com/", events=["*"], customer=ACME
    )
    assert await mails.refuses(one_more) == "too_many_endpoints"
    endpoints = (await mails.asks(m.ListEndpoints(customer=ACME)))["items"]
    await mails.does(m.DeleteEndpoint(command_id="del", endpoint_id=endpoints[0]["endpoint_id"]))
    await mails.does(one_more.model_copy(update={"command_id": "more-2"}))
    await opens(mails, "https://hooks.example.com/", customer=ANNA)


async def test_events_of_more_than_256_kb_are_not_sent(
    mails: NotificationsWorld, receiver: WebhookReceiver
) -> None:
    await opens(mails, receiver.url())
    await mails.happens(mails.seat(metadata={"large": "x" * 262_144}), "assigned")
    await mails.delivers()
    (row,) = await mails.deliveries()
    assert (row["status"], receiver.count) == ("failed", 0)
    assert "bytes" in row["last_error"]


async def test_a_test_event_is_sent_to_any_endpoint(
    mails: NotificationsWorld, receiver: WebhookReceiver
) -> None:
    endpoint_id, secret = await opens(mails, receiver.url(), ["invoice.paid"])
    sent = await mails.does(m.SendTest(command_id="t1", endpoint_id=endpoint_id))
    assert sent["delivery"]["status"] == "pending"
    await mails.delivers()
    body = verified(receiver.received[0], secret, mails)
    assert body["type"] == "endpoint.test"
    assert body["endpoint"]["endpoint_id"] == endpoint_id


async def test_a_test_mail_has_sample_data(mails: NotificationsWorld) -> None:
    test = m.SendTest(command_id="t1", kind="trial_ending", customer=ACME, email="me@example.com")
    sent = await mails.does(test)
    assert sent["notification"]["kind"] == "trial_ending"
    await mails.sends()
    assert mails.smtp.mails[0].to == "me@example.com"


async def test_deliveries_are_sent_again_by_event_and_forgotten_after_30_days(
    mails: NotificationsWorld, receiver: WebhookReceiver
) -> None:
    endpoint_id, _ = await opens(mails, receiver.url())
    event = mails.seat()
    await mails.happens(event, "assigned")
    await mails.delivers()
    again = m.Redeliver(command_id="r1", endpoint_id=endpoint_id, event_ids=[event.event_id])
    await mails.does(again)
    await mails.delivers()
    assert receiver.count == 2
    unknown = m.Redeliver(command_id="r2", endpoint_id=endpoint_id, event_ids=["evt_unknown"])
    assert await mails.refuses(unknown) == "not_found"
    page = await mails.asks(m.ListDeliveries(endpoint_id=endpoint_id, status="succeeded"))
    assert [one["event_id"] for one in page["items"]] == [event.event_id]
    mails.pass_time(days=30, minutes=1)
    await mails.bound.tick("forget_deliveries", mails.now)
    assert await mails.deliveries() == []
    assert await mails.bound.rows("SELECT * FROM notifications.outgoing_events") == []
    await mails.happens(event, "assigned")  # repeated from the feed
    assert await mails.deliveries() == []


async def test_a_deleted_endpoint_gets_nothing_and_has_no_secret(
    mails: NotificationsWorld, receiver: WebhookReceiver
) -> None:
    endpoint_id, _ = await opens(mails, receiver.url(), customer=ACME)
    await mails.happens(mails.seat(), "assigned")
    await mails.does(m.DeleteEndpoint(command_id="d1", endpoint_id=endpoint_id))
    await mails.delivers()
    assert receiver.count == 0
    assert (await mails.asks(m.ListEndpoints(customer=ACME)))["items"] == []
    (row,) = await mails.bound.rows("SELECT secret FROM notifications.endpoints")
    assert row["secret"] == b""
    assert await mails.refuses(m.DeleteEndpoint(command_id="d2", endpoint_id=endpoint_id)) == "not_found"


@pytest.mark.parametrize("pattern", ["invoices.paid", "invoice.payed", "invoice", "", "*.paid", "seat.*.x"])
async def test_patterns_with_a_typo_do_not_pass(mails: NotificationsWorld, pattern: str) -> None:
    body = json.dumps({"command_id": "c1", "url": "https://a.example.com", "events": [pattern]})
    outcome = await mails.bound.handle_body("create_endpoint", body.encode())
    assert outcome.error is not None
    assert outcome.error.code == "invalid_message"
