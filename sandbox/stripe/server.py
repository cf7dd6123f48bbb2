"""HTTP server: one Starlette application for one account, with background tasks."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route as HttpRoute

from sandbox.stripe.account import Account
from sandbox.stripe.deliveries import Deliverer
from sandbox.stripe.dispatch import Dispatcher, Request
from sandbox.stripe.resources import register
from sandbox.stripe.storage import Storage
from sandbox.stripe.webhook_endpoints import set_default_endpoint

DUE_EVERY_SECONDS = 1.0
"""Interval at which objects without a test clock are checked."""
MAX_BODY_BYTES = 1024 * 1024
"""Far above any request of Stripe's JSON API."""
METHODS = ["GET", "POST", "DELETE", "PUT", "PATCH"]

log = logging.getLogger("sandbox.stripe")


def make_account(state: str | None, public_url: str, webhook: tuple[str, str] | None = None) -> Account:
    """Create the account.

    It is stored in the file `state` (None: in memory), and delivers to `webhook` (URL and secret).
    """
    account = Account(Storage(state) if state else None, public_url=public_url)
    if webhook is not None:
        set_default_endpoint(account, *webhook)
    return account


def make_app(account: Account, secret_keys: list[str]) -> Starlette:
    """Create the ASGI application."""
    dispatcher = Dispatcher(account, register(account), secret_keys)

    async def answer(http: HttpRequest) -> Response:
        body = await http.body()
        if len(body) > MAX_BODY_BYTES:
            return _failure(413, "The request is too large.")
        headers = {name.lower(): value for name, value in http.headers.items()}
        request = Request(http.method, http.url.path, http.url.query.encode(), body, headers)
        try:
            result = dispatcher.answer(request)
        except Exception:
            log.exception("%s %s", http.method, http.url.path)
            return _failure(500, "The stand-in has failed; its log says how.")
        return Response(result.body, result.status, headers=result.headers)

    return Starlette(
        routes=[HttpRoute("/{path:path}", answer, methods=METHODS)], lifespan=lambda app: _background(account)
    )


@asynccontextmanager
async def _background(account: Account) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(Deliverer(account).run()), asyncio.create_task(_run_due_steps(account))]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _run_due_steps(account: Account) -> None:
    """Run the due steps of objects without a test clock, once a second."""
    while True:
        await asyncio.sleep(DUE_EVERY_SECONDS)
        try:
            account.run_due(account.now())
        except Exception:
            log.exception("due work failed")


def _failure(status: int, message: str) -> Response:
    body = {"error": {"type": "api_error", "message": message}}
    return Response(json.dumps(body), status, media_type="application/json")
