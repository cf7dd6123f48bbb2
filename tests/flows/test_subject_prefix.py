"""With another `SUBJECT_PREFIX` and `WEBHOOK_SUBJECT` all messages use the configured names."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from pydantic import SecretStr

from services.subscriptions import app as subscriptions
from services.subscriptions.settings import SubscriptionsSettings
from services.subscriptions.stripe.client import StripeGateway
from services.webhooks import app as webhooks
from services.webhooks.event_store.event_writer import EventWriter
from services.webhooks.reconciliation.stripe_event_list import StripeEventList
from services.webhooks.service import service as webhooks_service
from services.webhooks.settings import WebhooksSettings
from shared.messaging.service_client import ServiceClient
from shared.operations.provision import provision_nats
from tallystick.client import Client, connect
from tallystick.messages import catalog
from tallystick.messages import subscriptions as m
from tallystick.messages import webhooks as w
from tallystick.messages.base import Customer
from tallystick.subjects import DEAD_LETTERS_STREAM
from tests.support.catalogs import team_catalog
from tests.support.runtime import role_url
from tests.support.servers import NatsServer
from tests.support.waiting import eventually
from tests.support.webhook_events import WEBHOOK_SECRET, body, signature, stripe_event
from tests.support.workers import running

PREFIX, SUBJECT = "notches", "edge.stripe.payloads"
ACME = Customer(type="organization", id="acme")


@pytest.fixture
async def billing(service_database: str, nats_server: NatsServer) -> AsyncIterator[Client]:
    """Run both workers as the NATS admin, because `nats.conf` names the default subjects."""
    await provision_nats(nats_server.url, prefix=PREFIX, webhook_subject=SUBJECT, monitor_url=None)

    def worker_settings(service: str) -> dict[str, Any]:
        return {
            "database_url": SecretStr(role_url(service_database, service)),
            "nats_url": SecretStr(nats_server.url),
            "subject_prefix": PREFIX,
        }

    webhooks_settings = WebhooksSettings(
        **worker_settings("webhooks"), stripe_webhook_secret=SecretStr(WEBHOOK_SECRET)
    )
    subscriptions_settings = SubscriptionsSettings(**worker_settings("subscriptions"))
    async with (
        running(webhooks_service, webhooks_settings, provide=webhooks.provide, routes=webhooks.routes) as (
            intake,
            _,
        ),
        running(subscriptions.service, subscriptions_settings, provide=subscriptions.provide) as (
            at_work,
            _,
        ),
        connect(nats_server.url, prefix=PREFIX) as client,
    ):
        yield client
        kinds = (EventWriter, StripeEventList, ServiceClient, StripeGateway)
        provided = {**intake.runtime.provided, **at_work.runtime.provided}
        for kind in kinds:
            await provided[kind].close()


async def test_every_subject_has_the_configured_prefix(billing: Client) -> None:
    await billing.call(catalog.ApplyCatalog(command_id="catalog", catalog=team_catalog()))
    await billing.call(m.RegisterCustomer(command_id="acme", customer=ACME, email="pay@acme.example"))
    jetstream = billing.connection.jetstream()
    # By way of the queue, and a tick that renews it.
    items = [m.ItemToBuy(price="solo_free")]
    await billing.send(m.CreateSubscription(command_id="free", customer=ACME, items=items))
    async with billing.events(customer=ACME, start="all") as feed:
        async for event in feed:
            assert event.subject.startswith(f"{PREFIX}.change_feed.")
            if event.entity == "subscription" and event.event == "activated":
                tick = b'{"at": "2100-01-01T00:00:00Z"}'
                await jetstream.publish(f"{PREFIX}.ticks.subscriptions.move_periods", tick)
            if event.event == "renewed":
                break
    async with billing.entitlements([ACME]) as mirror:
        assert mirror.check(ACME, "transcription")

    # From the webhook subject to subscriptions, which cannot read it, and its report back to webhooks.
    payload = body(stripe_event("evt_1", data={"object": {"id": "sub_1"}}))
    await jetstream.publish(SUBJECT, payload, headers={"Stripe-Signature": signature(payload)})

    async def has_failed() -> bool:
        found = await billing.answer(w.GetEvent(event_id="evt_1"))
        return found.result is not None and "Malformed" in str(found.result)

    await eventually(has_failed)
    letter = await eventually(partial(jetstream.get_msg, DEAD_LETTERS_STREAM, 1))
    assert letter.subject == f"{PREFIX}.dead_letters.subscriptions.apply_stripe_event"
