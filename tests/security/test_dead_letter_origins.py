"""A dead letter is retried only on a subject of the service that buried it."""

import importlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

import tallystick
from shared.operations.jetstream_layout import apply_layout, load_layout
from shared.operations.provision import LAYOUT_PATH
from tallystick.client.dead_letter_origins import JOBS
from tallystick.client.dead_letters import read_one, send_back
from tests.support.servers import NatsServer

WEBHOOKS = "tunnel.incoming-webhook-events.stripe"
SEAT_COMMAND = "billing.commands.seats.assign_seat"


@pytest.fixture
async def admin(nats_server: NatsServer) -> AsyncIterator[tallystick.Client]:
    """The operator's client, on empty streams."""
    async with tallystick.connect(nats_server.url, name="operator") as client:
        layout = load_layout(LAYOUT_PATH, prefix="billing", webhook_subject=WEBHOOKS)
        await apply_layout(client.connection.nats, layout)
        yield client


async def retried(
    admin: tallystick.Client, origin: str, *, buried_by: str = "seats", headers: dict[str, str] | None = None
) -> str | None:
    """Bury a letter and retry it; return the reason if it was not sent back."""
    jetstream = admin.connection.jetstream()
    about = {"Billing-Origin-Subject": origin, "Billing-Failed-At": "2026-02-01T00:00:00+00:00"}
    where = f"billing.dead_letters.{buried_by}.some_handler"
    placed = await jetstream.publish(where, b'{"a": 1}', headers=(headers or {}) | about)
    letter = await read_one(admin.connection, placed.seq)
    assert letter is not None
    problem = await send_back(admin.connection, letter, admin.subjects)
    is_left = await read_one(admin.connection, placed.seq) is not None
    assert is_left == (problem is not None)
    return problem


async def messages(admin: tallystick.Client) -> dict[str, int]:
    """Return the number of messages of every stream except dead letters and schedules."""
    streams = await admin.connection.jetstream().streams_info()
    return {
        str(one.config.name): one.state.messages
        for one in streams
        if one.config.name not in ("BILLING_DEAD_LETTERS", "BILLING_SCHEDULES") and one.state.messages
    }


FORGED = [
    "",
    "$JS.API.STREAM.PURGE.BILLING_CHANGE_FEED",
    "$JS.API.STREAM.DELETE.KV_billing_entitlements",
    "$JS.API.CONSUMER.DELETE.BILLING_COMMANDS.seats-commands",
    "$KV.billing_entitlements.organization_x.orders",
    "$SYS.REQ.SERVER.PING",
    "_INBOX.anybody",
    "billing",
    "billing.commands.seats",
    "billing.commands.seats.",
    "billing.commands.seats.no_such_command",
    "billing.commands.seats.>",
    "billing.commands.seats.assign_seat.more",
    "billing.commands.nobody.assign_seat",
    "billing.requests.seats.assign_seat",
    "billing.schedules.seats.expire_invitations",
    "billing.ticks.seats.no_such_job",
    "billing.dead_letters.seats.assign_seat",
    "billing.change_feed.seat.organization_acme.inventedV1",
    "billing.change_feed.seat.organization_acme.claimedV2",
    "billing.change_feed.nothing.organization_acme.createdV1",
    "billing.change_feed.seat.*.claimedV1",
    "billing.change_feed.seat.organization_acme",
    "other.commands.seats.assign_seat",
    "billingxcommands.seats.assign_seat",
    "tunnel.incoming-webhook-events.stripe.more",
]


@pytest.mark.parametrize("origin", FORGED)
async def test_a_forged_origin_is_refused_and_named(admin: tallystick.Client, origin: str) -> None:
    before = await messages(admin)
    problem = await retried(admin, origin)
    assert problem is not None
    assert (repr(origin) in problem) if origin else problem == "it does not say where it came from"
    assert await messages(admin) == before


@pytest.mark.parametrize(
    ("buried_by", "origin"),
    [
        ("webhooks", SEAT_COMMAND),
        ("seats", "billing.commands.webhooks.record_outcome"),
        ("seats", "billing.commands.consumables.charge_recharge"),
        ("seats", "billing.ticks.subscriptions.end_grace"),
        ("seats", "billing.stripe_events.invoice.paid"),
        ("seats", WEBHOOKS),
        ("subscriptions", "billing.stripe_events.transfer.reversed"),
        ("payouts", "billing.stripe_events.invoice.paid"),
        ("nobody", SEAT_COMMAND),
        ("nobody", "billing.change_feed.seat.organization_acme.claimedV1"),
    ],
)
async def test_a_letter_goes_back_only_to_the_service_that_buried_it(
    admin: tallystick.Client, buried_by: str, origin: str
) -> None:
    assert await retried(admin, origin, buried_by=buried_by) is not None
    assert await messages(admin) == {}


@pytest.mark.parametrize(
    ("buried_by", "origin", "stream"),
    [
        ("seats", SEAT_COMMAND, "BILLING_COMMANDS"),
        ("webhooks", "billing.commands.webhooks.record_outcome", "BILLING_COMMANDS"),
        ("subscriptions", "billing.stripe_events.customer.subscription.updated", "BILLING_STRIPE_EVENTS"),
        ("payouts", "billing.stripe_events.transfer.reversed", "BILLING_STRIPE_EVENTS"),
        ("seats", "billing.change_feed.subscription.organization_acme.createdV1", "BILLING_CHANGE_FEED"),
        ("consumables", "billing.change_feed.feature.platform_catalog.createdV1", "BILLING_CHANGE_FEED"),
        ("webhooks", WEBHOOKS, "BILLING_WEBHOOKS"),
        ("seats", "billing.ticks.seats.expire_invitations", "BILLING_TICKS"),
    ],
)
async def test_what_is_ours_goes_back_with_the_headers_that_are_read(
    admin: tallystick.Client, buried_by: str, origin: str, stream: str
) -> None:
    headers = {
        "traceparent": "00-1",
        "ce-id": "evt_1",
        "Stripe-Signature": "t=1,v1=00",
        "Billing-Reply-To": "_INBOX.mine",
        "Nats-Rollup": "all",
        "nats-ttl": "1s",
        "Nats-Schedule": "@every 1s",
        "Nats-Schedule-Target": "billing.ticks.seats.expire_invitations",
        "KV-Operation": "PURGE",
        "Status": "503",
        "billing-origin-subject": "$JS.API.STREAM.PURGE.BILLING_COMMANDS",
        "Billing-Invented": "1",
        "Mine": "1",
    }
    # JetStream would act upon some of them when the letter is stored, so they are put in afterwards.
    letter = await _stored_with(admin, buried_by, origin, headers)
    assert await send_back(admin.connection, letter, admin.subjects) is None
    back = await admin.connection.jetstream().get_last_msg(stream, origin)
    found = dict(back.headers or {})
    assert found.pop("Nats-Msg-Id").startswith("dead-letter-")
    assert found == {
        "traceparent": "00-1",
        "ce-id": "evt_1",
        "Stripe-Signature": "t=1,v1=00",
        "Billing-Reply-To": "_INBOX.mine",
    }
    assert back.data == b'{"a": 1}'


async def _stored_with(admin: tallystick.Client, buried_by: str, origin: str, headers: dict[str, str]) -> Any:
    where = f"billing.dead_letters.{buried_by}.some_handler"
    about = {"Billing-Origin-Subject": origin, "Billing-Failed-At": "2026-02-01T00:00:00+00:00"}
    placed = await admin.connection.jetstream().publish(where, b'{"a": 1}', headers=about)
    letter = await read_one(admin.connection, placed.seq)
    assert letter is not None
    letter.headers.update(headers)
    return letter


async def test_an_outcome_is_published_to_an_inbox_alone(admin: tallystick.Client) -> None:
    headers = {"Billing-Reply-To": "$KV.billing_entitlements.organization_x.orders"}
    assert await retried(admin, SEAT_COMMAND, headers=headers) is None
    back = await admin.connection.jetstream().get_last_msg("BILLING_COMMANDS", SEAT_COMMAND)
    assert "Billing-Reply-To" not in (back.headers or {})


def test_the_jobs_that_are_known_are_those_of_the_services() -> None:
    for name in JOBS:
        importlib.import_module(f"services.{name}.app")
        service = importlib.import_module(f"services.{name}.service").service
        assert JOBS[name] == set(service.jobs), name
