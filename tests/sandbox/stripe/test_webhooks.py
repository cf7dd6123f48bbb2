"""Events and their delivery: signed, retried, and dropped, duplicated or shuffled on request."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.sandbox_stripe.stand_in import WEBHOOK_SECRET, Receiver, StandIn, eventually


@pytest.fixture
def stand_in(receiver: Receiver) -> Iterator[StandIn]:
    """A stand-in that delivers everything to the receiver."""
    running = StandIn((receiver.url, WEBHOOK_SECRET))
    yield running
    running.stop()


def waiting(stand_in: StandIn) -> int:
    """How many deliveries are still under way."""
    return len(stand_in.get("/_sandbox/deliveries").json()["waiting"])


def test_events_arrive_signed_in_order_with_a_snapshot(stand_in: StandIn, receiver: Receiver) -> None:
    customer = stand_in.api.customers.create({"name": "Ann"})
    stand_in.api.customers.update(customer.id, {"name": "Bob"})
    eventually(lambda: len(receiver.deliveries) == 2, "two deliveries")
    created, updated = (event.to_dict() for event in receiver.events)
    assert created["data"]["object"]["name"] == "Ann"
    assert updated["data"]["previous_attributes"] == {"name": "Ann"}
    assert created["api_version"] == "2026-10-28.endive"
    assert created["request"]["idempotency_key"]
    eventually(lambda: waiting(stand_in) == 0, "an empty queue")
    assert stand_in.api.events.retrieve(created["id"]).pending_webhooks == 0


def test_a_failed_delivery_is_repeated_until_it_is_accepted(stand_in: StandIn, receiver: Receiver) -> None:
    receiver.failures = 2
    stand_in.api.customers.create({"name": "Ann"})
    eventually(lambda: len(receiver.deliveries) == 3, "two retries")
    assert len({event.id for event in receiver.events}) == 1
    eventually(lambda: waiting(stand_in) == 0, "an empty queue")


def test_a_lost_event_stays_listable_as_not_delivered(stand_in: StandIn, receiver: Receiver) -> None:
    stand_in.turn_knobs(drop=1)
    stand_in.api.customers.create({"name": "lost"})
    stand_in.api.customers.create({"name": "found"})
    eventually(lambda: waiting(stand_in) == 0, "an empty queue")
    assert [event.to_dict()["data"]["object"]["name"] for event in receiver.events] == ["found"]
    failed = stand_in.api.events.list({"delivery_success": False}).data
    assert [event.to_dict()["data"]["object"]["name"] for event in failed] == ["lost"]


def test_deliveries_can_be_doubled(stand_in: StandIn, receiver: Receiver) -> None:
    stand_in.turn_knobs(duplicate=1)
    stand_in.api.customers.create()
    stand_in.api.customers.create()
    eventually(lambda: waiting(stand_in) == 0, "an empty queue")
    ids = [event.id for event in receiver.events]
    assert len(ids) == 3
    assert ids[0] == ids[1] != ids[2]


def test_deliveries_can_be_held_back_and_shuffled(stand_in: StandIn, receiver: Receiver) -> None:
    stand_in.turn_knobs(paused=True, shuffle=True, seed=7)
    names = [str(number) for number in range(8)]
    for name in names:
        stand_in.api.customers.create({"name": name})
    assert receiver.deliveries == []
    stand_in.turn_knobs(paused=False)
    eventually(lambda: waiting(stand_in) == 0, "an empty queue")
    arrived = [event.to_dict()["data"]["object"]["name"] for event in receiver.events]
    assert arrived != names
    assert sorted(arrived) == names


def test_an_endpoint_gets_only_the_events_it_asked_for(stand_in: StandIn) -> None:
    other = Receiver()
    try:
        endpoint = stand_in.api.webhook_endpoints.create(
            {"url": other.url, "enabled_events": ["product.created"], "description": "products"}
        )
        secret = endpoint.to_dict()["secret"]
        assert secret.startswith("whsec_")
        assert "secret" not in stand_in.api.webhook_endpoints.retrieve(endpoint.id).to_dict()
        stand_in.api.customers.create()
        stand_in.api.products.create({"name": "Team"})
        eventually(lambda: waiting(stand_in) == 0, "an empty queue")
        assert len(other.deliveries) == 1
        stand_in.api.webhook_endpoints.update(endpoint.id, {"disabled": True})
        stand_in.api.products.create({"name": "Solo"})
        eventually(lambda: waiting(stand_in) == 0, "an empty queue")
        assert len(other.deliveries) == 1
        assert stand_in.api.webhook_endpoints.delete(endpoint.id).deleted is True
    finally:
        other.stop()


def test_events_are_filtered_by_type(stand_in: StandIn) -> None:
    stand_in.api.products.create({"name": "Team"})
    customer = stand_in.api.customers.create()
    stand_in.api.customers.delete(customer.id)
    listed = stand_in.api.events.list
    assert [event.type for event in listed({"type": "customer.*"}).data] == [
        "customer.deleted",
        "customer.created",
    ]
    assert [event.type for event in listed({"types": ["product.created", "customer.created"]}).data] == [
        "customer.created",
        "product.created",
    ]
