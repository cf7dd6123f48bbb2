"""The state file: a stand-in that is killed and restarted keeps its objects."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import stripe

from tests.support.sandbox_stripe.stand_in import SECRET_KEY, WEBHOOK_SECRET, Receiver, eventually


def free_port() -> int:
    """A port that is free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(state: Path, webhook_url: str) -> Iterator[tuple[stripe.StripeClient, str]]:
    """The program itself, killed at the end."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox.stripe", "--port", str(port), "--state", str(state),
         "--webhook-url", webhook_url],
        env={"STRIPE_SECRET_KEY": SECRET_KEY, "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET, "PYTHONPATH": "."},
    )  # fmt: skip
    http: Any = stripe.RequestsClient()
    try:
        eventually(lambda: answers(url), "the program to answer")
        yield stripe.StripeClient(SECRET_KEY, base_addresses={"api": url}, http_client=http), url
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        http.close()


def answers(url: str) -> bool:
    """Return whether the URL answers."""
    try:
        return httpx.get(url + "/v1/customers").status_code == 401
    except httpx.TransportError:
        return False


def test_objects_keys_and_undelivered_events_survive_a_kill(tmp_path: Path) -> None:
    state = tmp_path / "stripe.db"
    with started(state, f"http://127.0.0.1:{free_port()}/nobody") as (client, _):
        made = client.v1.customers.create({"name": "Ann"}, {"idempotency_key": "once"})
        client.v1.products.create({"name": "Team"})
    receiver = Receiver()
    try:
        with started(state, receiver.url) as (client, url):
            assert client.v1.customers.retrieve(made.id).name == "Ann"
            assert client.v1.customers.create({"name": "Ann"}, {"idempotency_key": "once"}).id == made.id
            assert [event.type for event in client.v1.events.list().data] == [
                "product.created",
                "customer.created",
            ]
            httpx.post(url + "/_sandbox/deliveries", data={"retry_now": "true"}).raise_for_status()
            eventually(lambda: len(receiver.deliveries) == 2, "what was not delivered before")
            assert sorted(receiver.types) == ["customer.created", "product.created"]
    finally:
        receiver.stop()
