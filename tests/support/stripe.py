"""The Stripe stand-in for tests: a real HTTP server for the real SDK, which can go away on demand."""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox.ports import free_port
from sandbox.stripe.account import Account
from sandbox.stripe.server import make_account, make_app

SECRET_KEY = "sk_test_of_the_tests"
START_TIMEOUT_SECONDS = 10


@dataclass(slots=True)
class StripeStandIn:
    """A running stand-in; `account` holds its objects."""

    url: str
    account: Account
    writes: list[str] = field(default_factory=list)
    """The paths that were posted to, in the order of their arrival."""
    writes_left: int | None = None
    """How many more writes are taken before it is away; None: it stays."""

    def goes_away_after(self, writes: int) -> None:
        """Answer 503 to everything after so many more writes."""
        self.writes_left = writes

    def comes_back(self) -> None:
        """Answer again."""
        self.writes_left = None

    def forget_everything(self) -> None:
        """Answer again, and delete all objects."""
        self.comes_back()
        httpx.delete(f"{self.url}/_sandbox/state").raise_for_status()
        self.forget_writes()

    def forget_writes(self) -> None:
        """Reset the recorded writes."""
        self.writes.clear()

    def _takes(self, method: str, path: str) -> bool:
        if self.writes_left == 0:
            return False
        if method == "POST":
            self.writes.append(path)
            if self.writes_left is not None:
                self.writes_left -= 1
        return True


@contextlib.contextmanager
def stripe_stand_in() -> Iterator[StripeStandIn]:
    """A stand-in with an empty account, on a port of its own."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    account = make_account(None, url)
    stand_in = StripeStandIn(url, account)
    app = _watched(make_app(account, [SECRET_KEY]), stand_in)
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)
    )
    thread = threading.Thread(target=server.run, name="stripe stand-in")
    thread.start()
    try:
        _wait_until_started(server)
        yield stand_in
    finally:
        server.should_exit = True
        thread.join()


def _wait_until_started(server: uvicorn.Server) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while not server.started:
        if time.monotonic() > deadline:
            raise TimeoutError("the Stripe stand-in does not start")
        time.sleep(0.005)


def _watched(app: Starlette, stand_in: StripeStandIn) -> ASGIApp:
    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not stand_in._takes(scope["method"], scope["path"]):
            body = {"error": {"type": "api_error", "message": "Stripe is away."}}
            # Stripe's own way to tell its SDK not to try again by itself, which keeps tests quick.
            await JSONResponse(body, 503, headers={"Stripe-Should-Retry": "false"})(scope, receive, send)
            return
        await app(scope, receive, send)

    return watched
