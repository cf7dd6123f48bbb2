"""Processing of one request: key, route, parameters, idempotency, handler, rendering."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape

from sandbox.stripe import API_VERSION, idempotency
from sandbox.stripe.account import Account, Json
from sandbox.stripe.faults import StripeFault
from sandbox.stripe.pages import page as error_page
from sandbox.stripe.parameters import check, decode, text
from sandbox.stripe.rendering import render
from sandbox.stripe.routing import Page, Route, Router


@dataclass(frozen=True)
class Request:
    """HTTP request; header names are lower case."""

    method: str
    path: str
    query: bytes = b""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """HTTP response."""

    status: int
    body: str
    headers: dict[str, str]


class Dispatcher:
    """Answers requests for one account. `secret_keys` are its valid API keys."""

    def __init__(self, account: Account, router: Router, secret_keys: list[str]) -> None:
        self._account = account
        self._router = router
        self._secret_keys = secret_keys

    def answer(self, request: Request) -> Answer:
        """Return the response; client errors become Stripe's error JSON and are not raised."""
        request_id = self._account.new_id("req")
        headers = {
            "content-type": "application/json",
            "request-id": request_id,
            "stripe-version": request.headers.get("stripe-version", API_VERSION),
        }
        key = request.headers.get("idempotency-key") if request.method == "POST" else None
        if key:
            headers["idempotency-key"] = key
        self._account.request = {"id": request_id, "idempotency_key": key}
        self._account.acting_for = request.headers.get("stripe-account")
        try:
            return self._route(request, headers)
        except StripeFault as fault:
            return Answer(fault.status, json.dumps(fault.body(), indent=2), headers)
        finally:
            self._account.request = {"id": None, "idempotency_key": None}
            self._account.acting_for = None

    def _route(self, request: Request, headers: dict[str, str]) -> Answer:
        if request.path.startswith(("/v1/", "/v2/")):
            api_key = self._api_key(request.headers.get("authorization", ""))
        else:
            api_key = ""
        route, ids = self._router.find(request.method, request.path)
        sent = decode(request.query)
        sent.update(decode(request.body, request.headers.get("content-type", "")))
        if route.kind == "page":
            return self._page(route, sent, ids, headers)
        expand = check(sent.pop("expand", None), [text], "expand") or []
        params = sent if route.accepts is None else check(sent, route.accepts) or {}
        return self._api(request, route, (params, ids, expand), api_key, headers)

    def _api(
        self,
        request: Request,
        route: Route,
        call: tuple[Json, dict[str, str], list[str]],
        api_key: str,
        headers: dict[str, str],
    ) -> Answer:
        params, ids, expand = call
        account = self._account
        key = headers.get("idempotency-key") if route.kind == "api" else None
        fingerprint = idempotency.fingerprint(request.method, request.path, {**params, "expand": expand})
        if key:
            stored = idempotency.stored_answer(account, api_key, key, fingerprint)
            if stored is not None:
                headers.update({"idempotent-replayed": "true", "original-request": stored[2]})
                return Answer(stored[0], stored[1], headers)
        if request.method == "GET":
            return Answer(200, _dump(render(account, route.handler(account, params, ids), expand)), headers)
        try:
            with account.unit():
                answer = Answer(
                    200, _dump(render(account, route.handler(account, params, ids), expand)), headers
                )
                if key:
                    idempotency.store_answer(account, api_key, key, fingerprint, answer.status, answer.body)
                return answer
        except StripeFault as fault:
            answer = Answer(fault.status, _dump(fault.body()), headers)
            if key:
                with account.unit():
                    idempotency.store_answer(account, api_key, key, fingerprint, answer.status, answer.body)
            return answer

    def _page(self, route: Route, sent: Json, ids: dict[str, str], headers: dict[str, str]) -> Answer:
        try:
            with self._account.unit():
                page = route.handler(self._account, sent, ids)
        except StripeFault as fault:
            page = error_page("This did not work", f"<p>{escape(fault.message)}</p>", fault.status)
        assert isinstance(page, Page)
        headers["content-type"] = "text/html; charset=utf-8"
        if page.location is not None:
            headers["location"] = page.location
        return Answer(page.status, page.html, headers)

    def _api_key(self, authorization: str) -> str:
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() == "basic":
            try:
                value = base64.b64decode(value).decode().split(":", 1)[0]
            except ValueError:
                value = ""
        value = value.strip()
        if not value:
            raise StripeFault(
                "You did not provide an API key. You need to provide your API key in the Authorization"
                " header,"
                " using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
                status=401,
            )
        if not any(secrets.compare_digest(value.encode(), known.encode()) for known in self._secret_keys):
            raise StripeFault(f"Invalid API Key provided: {_masked(value)}", status=401)
        return value


def _dump(value: Json) -> str:
    return json.dumps(value, indent=2)


def _masked(key: str) -> str:
    """Return an API key with its middle masked, for errors."""
    return key[:8] + "*" * max(0, len(key) - 12) + key[-4:] if len(key) > 12 else "*" * len(key)
