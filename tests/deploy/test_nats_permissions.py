"""NATS permissions: each right and each denial is tried on a server with `deploy/nats.conf`."""

import re
from pathlib import Path

import pytest

from sandbox.nats import DEPLOY_CONFIGURATION, users
from services.gateway.dead_letters import INTERNAL_COMMANDS
from shared.operations.jetstream_layout import load_layout
from tests.support.nats_permissions import acting_as
from tests.support.servers import NatsServer

STREAMS = Path(__file__).parents[2] / "deploy" / "streams.yaml"
WEBHOOK_SUBJECT = "tunnel.incoming-webhook-events.stripe"
SERVICES = [
    "subscriptions",
    "webhooks",
    "seats",
    "consumables",
    "monitoring",
    "payouts",
    "licenses",
    "notifications",
]
ADMINISTRATORS = ("admin", "readers")
EVERYBODY_BUT_ADMIN = [user for user in users() if user not in ADMINISTRATORS]
RELAYS = {service: f"{service}_relay" for service in SERVICES}
ANSWERERS = [f"{service}_answers" for service in SERVICES]

ENTITY_OWNERS = {
    "customer": "subscriptions",
    "feature": "subscriptions",
    "product": "subscriptions",
    "price": "subscriptions",
    "tax_rate": "subscriptions",
    "subscription": "subscriptions",
    "add_on": "subscriptions",
    "payment_link": "subscriptions",
    "invoice": "subscriptions",
    "entitlement": "subscriptions",
    "billing_team": "seats",
    "seat": "seats",
    "consumable": "consumables",
    "recharge": "consumables",
    "snapshot": "monitoring",
    "alarm": "monitoring",
    "payout_account": "payouts",
    "payout": "payouts",
    "seller_balance": "payouts",
    "license": "licenses",
    "notification": "notifications",
    "endpoint": "notifications",
}
BUCKET_OWNERS = {"billing_entitlements": "subscriptions", "billing_balances": "consumables"}


def test_every_user_of_the_contract_exists() -> None:
    of_the_contract = {"client", "ingress", "monitor", "clock", *SERVICES}
    assert set(users()) == {*of_the_contract, *ADMINISTRATORS, "gateway", *RELAYS.values(), *ANSWERERS}


@pytest.mark.parametrize("user", EVERYBODY_BUT_ADMIN)
async def test_events_are_published_by_the_owner_of_the_entity_alone(
    any_server: NatsServer, user: str
) -> None:
    async with acting_as(any_server, user) as actor:
        for entity, owner in ENTITY_OWNERS.items():
            accepted = await actor.may_publish(f"billing.change_feed.{entity}.user_7.createdV1")
            assert accepted == (user == RELAYS[owner]), entity


@pytest.mark.parametrize("user", EVERYBODY_BUT_ADMIN)
async def test_buckets_are_written_by_their_owner_alone(any_server: NatsServer, user: str) -> None:
    async with acting_as(any_server, user) as actor:
        for bucket, owner in BUCKET_OWNERS.items():
            accepted = await actor.may_publish(f"$KV.{bucket}.user_7.products")
            assert accepted == (user == RELAYS[owner]), bucket


@pytest.mark.parametrize("user", EVERYBODY_BUT_ADMIN)
async def test_requests_are_heard_by_the_service_they_are_for_alone(
    any_server: NatsServer, user: str
) -> None:
    async with acting_as(any_server, user) as actor:
        for service in SERVICES:
            heard = await actor.may_subscribe(f"billing.requests.{service}.*", queue=service)
            assert heard == (user == service), service
        assert not await actor.may_subscribe("billing.requests.>")
        assert not await actor.may_subscribe("billing.>")
        assert not await actor.may_subscribe(">")


@pytest.mark.parametrize("user", EVERYBODY_BUT_ADMIN)
async def test_nobody_else_reads_commands_ticks_or_webhooks(any_server: NatsServer, user: str) -> None:
    async with acting_as(any_server, user) as actor:
        for subject in ("commands", "ticks", "schedules", "stripe_events", "dead_letters"):
            assert not await actor.may_subscribe(f"billing.{subject}.>"), subject
        assert not await actor.may_subscribe(WEBHOOK_SUBJECT)
        assert not await actor.may_subscribe("$KV.>")
        assert not await actor.may_subscribe("$JS.>")


CONSUMER_OWNERS = {
    ("BILLING_COMMANDS", "subscriptions-commands"): "subscriptions",
    ("BILLING_STRIPE_EVENTS", "subscriptions-stripe-events"): "subscriptions",
    ("BILLING_TICKS", "subscriptions-ticks"): "subscriptions",
    ("BILLING_COMMANDS", "webhooks-commands"): "webhooks",
    ("BILLING_WEBHOOKS", "webhooks-ingress"): "webhooks",
    ("BILLING_TICKS", "webhooks-ticks"): "webhooks",
    ("BILLING_COMMANDS", "seats-commands"): "seats",
    ("BILLING_TICKS", "seats-ticks"): "seats",
    ("BILLING_COMMANDS", "consumables-commands"): "consumables",
    ("BILLING_TICKS", "consumables-ticks"): "consumables",
    ("BILLING_COMMANDS", "monitoring-commands"): "monitoring",
    ("BILLING_TICKS", "monitoring-ticks"): "monitoring",
    ("BILLING_SERVICE_FEED", "monitoring-feed"): "monitoring",
    ("BILLING_SERVICE_FEED", "subscriptions-feed"): "subscriptions",
    ("BILLING_SERVICE_FEED", "seats-feed"): "seats",
    ("BILLING_SERVICE_FEED", "consumables-feed"): "consumables",
    ("BILLING_COMMANDS", "payouts-commands"): "payouts",
    ("BILLING_STRIPE_EVENTS", "payouts-stripe-events"): "payouts",
    ("BILLING_TICKS", "payouts-ticks"): "payouts",
    ("BILLING_SERVICE_FEED", "payouts-feed"): "payouts",
    ("BILLING_COMMANDS", "licenses-commands"): "licenses",
    ("BILLING_TICKS", "licenses-ticks"): "licenses",
    ("BILLING_SERVICE_FEED", "licenses-feed"): "licenses",
    ("BILLING_COMMANDS", "notifications-commands"): "notifications",
    ("BILLING_TICKS", "notifications-ticks"): "notifications",
    ("BILLING_SERVICE_FEED", "notifications-feed"): "notifications",
    ("BILLING_OUTGOING_EVENTS", "notifications-outgoing"): "notifications",
}


def test_every_provisioned_consumer_has_an_owner_here() -> None:
    layout = load_layout(STREAMS, prefix="billing", webhook_subject=WEBHOOK_SUBJECT)
    provisioned = {(stream, name) for name, (stream, _) in layout.consumers.items()}
    assert provisioned <= set(CONSUMER_OWNERS)


@pytest.mark.parametrize("user", EVERYBODY_BUT_ADMIN)
async def test_only_its_owner_pulls_and_acknowledges_a_consumer(any_server: NatsServer, user: str) -> None:
    async with acting_as(any_server, user) as actor:
        for (stream, consumer), owner in CONSUMER_OWNERS.items():
            own = user == owner
            assert await actor.may_publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}") == own, consumer
            assert await actor.may_publish(f"$JS.ACK.{stream}.{consumer}.1.1.1.1.0") == own, consumer


@pytest.mark.parametrize("user", EVERYBODY_BUT_ADMIN)
async def test_only_admin_changes_streams_and_private_consumers(any_server: NatsServer, user: str) -> None:
    async with acting_as(any_server, user) as actor:
        for stream in ("BILLING_COMMANDS", "BILLING_CHANGE_FEED", "KV_billing_entitlements"):
            for verb in ("CREATE", "UPDATE", "DELETE", "PURGE", "MSG.DELETE", "SNAPSHOT", "RESTORE"):
                assert not await actor.may_publish(f"$JS.API.STREAM.{verb}.{stream}"), (verb, stream)
        for stream, consumer in CONSUMER_OWNERS:
            assert not await actor.may_publish(f"$JS.API.CONSUMER.CREATE.{stream}"), stream
            assert not await actor.may_publish(f"$JS.API.CONSUMER.CREATE.{stream}.{consumer}"), consumer
            assert not await actor.may_publish(f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{consumer}")
            assert not await actor.may_publish(f"$JS.API.CONSUMER.DELETE.{stream}.{consumer}"), consumer
        for stream in (
            "BILLING_COMMANDS",
            "BILLING_WEBHOOKS",
            "BILLING_STRIPE_EVENTS",
            "BILLING_SERVICE_FEED",
        ):
            assert not await actor.may_publish(f"$JS.API.STREAM.MSG.GET.{stream}"), stream
            assert not await actor.may_publish(f"$JS.API.DIRECT.GET.{stream}"), stream
        # The operators' pages show dead letters, send them back and take them off the list.
        for verb in ("MSG.GET", "MSG.DELETE"):
            accepted = await actor.may_publish(f"$JS.API.STREAM.{verb}.BILLING_DEAD_LETTERS")
            assert accepted == (user == "gateway"), verb


@pytest.mark.parametrize("user", EVERYBODY_BUT_ADMIN)
async def test_nobody_reads_the_inbox_of_another(any_server: NatsServer, user: str) -> None:
    async with acting_as(any_server, user) as actor:
        for other in users():
            assert await actor.may_subscribe(f"_INBOX_{other}.>") == (user == other), other


@pytest.mark.parametrize("user", SERVICES)
async def test_dead_letters_are_a_services_own(any_server: NatsServer, user: str) -> None:
    async with acting_as(any_server, user) as actor:
        for service in SERVICES:
            accepted = await actor.may_publish(f"billing.dead_letters.{service}.some_handler")
            assert accepted == (user == service), service


FORBIDDEN_TO_ANSWERS = (
    "$KV.billing_entitlements.user_7.products",
    "$JS.API.STREAM.PURGE.BILLING_CHANGE_FEED",
    "billing.change_feed.customer.user_7.createdV1",
    "billing.commands.webhooks.record_outcome",
    "billing.requests.subscriptions.cancel_subscription",
    "billing.dead_letters.seats.assign_seat",
    "billing.stripe_events.invoice.paid",
    "billing.ticks.seats.expire_invitations",
    WEBHOOK_SUBJECT,
)

COMMANDS_BETWEEN_SERVICES = {
    ("subscriptions", "billing.commands.webhooks.record_outcome"),
    ("subscriptions", "billing.commands.subscriptions.refresh_seats"),
    ("subscriptions", "billing.commands.subscriptions.end_add_on_with_plan"),
    ("subscriptions", "billing.commands.subscriptions.refund_invoice"),
    ("subscriptions", "billing.commands.subscriptions.cancel_subscription"),
    ("subscriptions", "billing.requests.seats.hold_seat_count"),
    ("subscriptions", "billing.requests.consumables.preview_units"),
    ("subscriptions", "billing.commands.seats.release_seat_count"),
    ("subscriptions", "billing.requests.licenses.confirm_license_seats"),
    ("seats", "billing.requests.subscriptions.change_held_quantity"),
    ("seats", "billing.requests.subscriptions.preview_change"),
    ("notifications", "billing.requests.subscriptions.upcoming_invoice"),
    ("licenses", "billing.requests.subscriptions.change_quantity"),
    ("consumables", "billing.requests.subscriptions.charge_customer"),
    ("consumables", "billing.requests.subscriptions.record_usage"),
    ("consumables", "billing.commands.consumables.charge_recharge"),
    ("consumables", "billing.requests.subscriptions.bill_overage"),
    ("consumables", "billing.commands.consumables.charge_overage"),
    ("monitoring", "billing.requests.consumables.feature_totals"),
    ("monitoring", "billing.requests.subscriptions.get_catalog"),
    ("monitoring", "billing.requests.subscriptions.list_customers"),
    ("monitoring", "billing.requests.subscriptions.list_subscriptions"),
    ("monitoring", "billing.requests.subscriptions.list_invoices"),
    ("monitoring", "billing.requests.subscriptions.list_add_ons"),
    ("monitoring", "billing.requests.seats.list_teams"),
    ("monitoring", "billing.requests.seats.list_seats"),
    ("payouts", "billing.commands.webhooks.record_outcome"),
    ("payouts", "billing.commands.payouts.pay_out"),
    ("subscriptions", "billing.commands.payouts.record_sale"),
}


@pytest.mark.parametrize("user", SERVICES)
async def test_services_command_one_another_only_as_named(any_server: NatsServer, user: str) -> None:
    others = {
        "billing.commands.subscriptions.cancel_subscription",
        "billing.commands.seats.assign_seat",
        "billing.commands.subscriptions.change_quantity",
        "billing.requests.subscriptions.cancel_subscription",
        "billing.requests.subscriptions.change_quantity",
    }
    async with acting_as(any_server, user) as asking, acting_as(any_server, RELAYS[user]) as relay:
        for subject in others | {subject for _, subject in COMMANDS_BETWEEN_SERVICES}:
            wanted = (user, subject) in COMMANDS_BETWEEN_SERVICES
            # What waits for an answer is asked by the service, what is queued comes from its outbox.
            assert await asking.may_publish(subject) == (wanted and ".requests." in subject), subject
            assert await relay.may_publish(subject) == (wanted and ".commands." in subject), subject


@pytest.mark.parametrize("user", ANSWERERS)
async def test_answers_go_to_inboxes_and_nowhere_else(any_server: NatsServer, user: str) -> None:
    async with acting_as(any_server, user) as actor:
        for inbox in ("_INBOX.one", "_INBOX_client.one", "_INBOX_gateway.one", "_R_.one.two"):
            assert await actor.may_publish(inbox), inbox
        for subject in FORBIDDEN_TO_ANSWERS:
            assert not await actor.may_publish(subject), subject


async def test_stripe_events_come_from_webhooks_alone(any_server: NatsServer) -> None:
    for user in EVERYBODY_BUT_ADMIN:
        async with acting_as(any_server, user) as actor:
            accepted = await actor.may_publish("billing.stripe_events.invoice.paid")
            assert accepted == (user == "webhooks_relay"), user


async def test_webhooks_come_from_the_ingress_alone(any_server: NatsServer) -> None:
    for user in EVERYBODY_BUT_ADMIN:
        async with acting_as(any_server, user) as actor:
            assert await actor.may_publish(WEBHOOK_SUBJECT) == (user == "ingress"), user


async def test_only_the_clock_sends_ticks_and_nobody_schedules(any_server: NatsServer) -> None:
    for user in EVERYBODY_BUT_ADMIN:
        async with acting_as(any_server, user) as actor:
            assert await actor.may_publish("billing.ticks.webhooks.reconcile") == (user == "clock"), user
            assert not await actor.may_publish("billing.schedules.webhooks.reconcile"), user


async def test_what_a_client_may_ask_and_command(any_server: NatsServer) -> None:
    async with acting_as(any_server, "client") as actor:
        assert await actor.may_publish("billing.requests.subscriptions.get_catalog")
        assert await actor.may_publish("billing.commands.seats.assign_seat")
        for said_between_services in (
            "webhooks.record_outcome",
            "subscriptions.change_held_quantity",
            "subscriptions.refresh_seats",
            "subscriptions.end_add_on_with_plan",
            "seats.hold_seat_count",
            "seats.release_seat_count",
            "licenses.confirm_license_seats",
            "subscriptions.record_usage",
            "consumables.charge_recharge",
            "consumables.charge_overage",
            "subscriptions.bill_overage",
            "payouts.record_sale",
        ):
            assert not await actor.may_publish(f"billing.commands.{said_between_services}")
            assert not await actor.may_publish(f"billing.requests.{said_between_services}")
        assert not await actor.may_publish("billing.requests.consumables.preview_units")


def test_the_gateway_knows_which_commands_it_may_not_send_back() -> None:
    gateway = DEPLOY_CONFIGURATION.read_text().partition("user: gateway,")[2]
    denied = gateway.partition("deny: [")[2].partition("]")[0]
    assert set(INTERNAL_COMMANDS) == set(re.findall(r'"billing\.commands\.(\w+\.\w+)"', denied))


async def test_the_gateway_may_ask_and_retry_but_not_answer(
    any_server: NatsServer,
) -> None:
    async with acting_as(any_server, "gateway") as actor:
        for service in SERVICES:
            assert await actor.may_publish(f"billing.requests.{service}.anything")
            assert await actor.may_publish(f"billing.commands.{service}.anything")
            assert not await actor.may_publish(f"billing.dead_letters.{service}.anything")
        for internal in INTERNAL_COMMANDS:
            assert not await actor.may_publish(f"billing.requests.{internal}"), internal
            assert not await actor.may_publish(f"billing.commands.{internal}"), internal
        assert not await actor.may_subscribe("billing.change_feed.>")


async def test_monitor_and_ingress_command_and_ask_nobody(any_server: NatsServer) -> None:
    for user in ("monitor", "ingress", "clock"):
        async with acting_as(any_server, user) as actor:
            assert not await actor.may_publish("billing.requests.subscriptions.get_catalog"), user
            assert not await actor.may_publish("billing.commands.subscriptions.cancel_subscription"), user
