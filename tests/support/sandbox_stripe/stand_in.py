"""Runs the stand-in and a webhook receiver in threads, for tests that talk to them over HTTP."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import stripe
import uvicorn

from sandbox.stripe.account import Account
from sandbox.stripe.server import make_account, make_app

SECRET_KEY = "sk_test_4eC39HqLyjWDarjtT1zdp7dc"
WEBHOOK_SECRET = "whsec_test_secret"
PATIENCE_SECONDS = 15.0


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of the condition; fails after a while, saying what was waited for."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"waited in vain for {what}")


class StandIn:
    """A stand-in with an empty account."""

    def __init__(self, webhook: tuple[str, str] | None = None) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.account: Account = make_account(None, self.url, webhook)
        app = make_app(self.account, [SECRET_KEY])
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})
        self._thread.start()
        eventually(lambda: self._server.started, "the stand-in")
        self._http: Any = stripe.RequestsClient()
        self.client = self.sdk(SECRET_KEY)
        # Untyped, because tests also send what the typed SDK would not let them.
        self.api: Any = self.client.v1

    def sdk(self, key: str) -> stripe.StripeClient:
        """The real SDK with some key."""
        return stripe.StripeClient(key, base_addresses={"api": self.url}, http_client=self._http)

    def get(self, path: str, **options: Any) -> httpx.Response:
        """A plain request with the secret key."""
        return httpx.get(self.url + path, auth=(SECRET_KEY, ""), **options)

    def turn_knobs(self, **knobs: Any) -> None:
        """Set how webhooks are delivered."""
        httpx.post(self.url + "/_sandbox/deliveries", json=knobs).raise_for_status()

    def forget_everything(self) -> None:
        """Make the account empty again."""
        httpx.delete(self.url + "/_sandbox/state").raise_for_status()

    def stop(self) -> None:
        """Stop serving."""
        self._http.close()
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


class Receiver:
    """A webhook endpoint: keeps signature and payload of each delivery; fails the first `failures`."""

    def __init__(self) -> None:
        self.deliveries: list[tuple[str, str]] = []
        self.failures = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                payload = self.rfile.read(int(self.headers["Content-Length"])).decode()
                receiver.deliveries.append((self.headers["Stripe-Signature"], payload))
                receiver.failures -= 1
                self.send_response(500 if receiver.failures >= 0 else 200)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hooks?from=stripe"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def types(self) -> list[str]:
        """The event types received so far."""
        return [event.type for event in self.events]

    @property
    def events(self) -> list[stripe.Event]:
        """The events received so far, each with its signature checked by the SDK."""
        return [
            stripe.Webhook.construct_event(payload, header, WEBHOOK_SECRET)
            for header, payload in list(self.deliveries)
        ]

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
