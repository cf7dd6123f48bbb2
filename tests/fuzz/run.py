"""Random input to a running system, and the checks during and after it."""

import asyncio
import json
import os
import re
import sys
import time
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import quote

import httpx
import nats
import psutil
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import APIError

import tallystick
from shared.persistence.migrations import ROOT
from tallystick.messages import COMMANDS, QUESTIONS
from tallystick.messages.base import Customer
from tallystick.messages.catalog import GetCatalog
from tests.support import golden
from tests.support.gateway import ADMIN, MANAGE, READ, GatewaySystem, bearer
from tests.support.mutations import STRANGE, headers, mutated
from tests.support.stack import WEBHOOK_SUBJECT

OPENAPI = ROOT / "docs" / "openapi.json"
OUTSIDERS = ("client", "ingress", "clock", "monitor")
AT_ONCE = 4
ANSWER_SECONDS = 20.0
"""Longer than any handler waits for Stripe: no answer within it is an answer that never comes."""
NEIGHBOUR_SECONDS = 5.0
"""A question beside all this is answered within this; two seconds on a machine that does nothing else."""
MEMORY_GROWTH_MAX_BYTES = 400 * 1024 * 1024
"""A worker that keeps what it is sent would pass this within the hour."""
STATUSES = {"succeeded", "rejected", "failed"}
CODE = re.compile(r"[a-z][a-z0-9_]*")
BROKEN = re.compile(r"handler broke|will be tried again|relay (broke|interrupted)|in ASGI application")
"""What a worker logs where something was not foreseen."""
CUSTOMERS = [Customer(type="organization", id="fuzz"), Customer(type="user", id="fuzz-7")]
CLIENT = (ROOT / "deploy" / "nats.conf").read_text().partition("user: client,")[2]
INTERNAL = set(
    re.findall(r'"billing\.requests\.\w+\.(\w+)"', CLIENT.partition("deny: [")[2].partition("]")[0])
)
"""Spoken between services; a client may not send them."""


@dataclass(slots=True)
class Findings:
    """The number of attempts and the checks that failed."""

    attempts: int = 0
    problems: list[str] = field(default_factory=list)

    def hold(self, holds: bool, what: str) -> None:
        """Record a finding unless the condition holds."""
        if not holds:
            self.problems.append(what[:2_000])


async def fuzz(gateway: GatewaySystem, seconds: float, seed: int) -> Findings:
    """Send random input for some seconds; the same seed gives the same input as far as answers allow."""
    findings = Findings()
    stack = gateway.system.stack
    marks = {name: stack.log(name).stat().st_size for name in stack.health_ports}
    memory = _memory(gateway)
    ends_at = time.monotonic() + seconds
    users = stack.nats.users
    connections = {user: await _connected(users[user], user) for user in OUTSIDERS}
    async with httpx.AsyncClient(base_url=gateway.url, timeout=ANSWER_SECONDS + 10) as http:
        ways: list[Callable[[Random], Awaitable[None]]] = [
            lambda random: _request(findings, connections["client"], random),
            lambda random: _request(findings, connections["client"], random),
            lambda random: _queue(connections["client"], random),
            lambda random: _publish(connections, random),
            lambda random: _http(findings, http, random),
            lambda random: _http(findings, http, random),
            lambda random: _webhook(findings, http, gateway.system.ingress_url, random),
        ]

        async def attempt(number: int) -> None:
            random = Random(seed * 1_000 + number)
            while time.monotonic() < ends_at:
                await random.choice(ways)(random)
                findings.attempts += 1

        async def neighbour() -> None:
            async with tallystick.connect(users["client"]) as billing:
                while time.monotonic() < ends_at:
                    with suppress(tallystick.TallystickError):
                        asked_at = time.monotonic()
                        await billing.ask(GetCatalog(), deadline_seconds=ANSWER_SECONDS)
                    waited = time.monotonic() - asked_at
                    findings.hold(waited < NEIGHBOUR_SECONDS, f"a neighbour waited {waited:.1f} s")
                    await asyncio.sleep(1)

        await asyncio.gather(neighbour(), *(attempt(number) for number in range(AT_ONCE)))
    for connection in connections.values():
        await connection.close()
    await _all_is_well(findings, gateway)
    await _adds_up(findings, gateway)
    for name, mark in marks.items():
        said = stack.log(name).read_bytes()[mark:].decode(errors="replace")
        found = BROKEN.search(said)
        about = said[max(0, found.start() - 300) :][:1_500] if found else ""
        findings.hold(found is None, f"{name} logged: {about}")
    for name, before in memory.items():
        grown = _memory(gateway).get(name, before) - before
        findings.hold(grown < MEMORY_GROWTH_MAX_BYTES, f"{name} has grown by {grown / 1e6:.0f} MB")
    return findings


async def _connected(url: str, user: str) -> Client:
    async def ignore(_: Exception) -> None:
        return

    return await nats.connect(url, inbox_prefix=f"_INBOX_{user}", error_cb=ignore)


def _memory(gateway: GatewaySystem) -> dict[str, int]:
    found = {}
    for name, child in gateway.system.stack.children.items():
        with suppress(psutil.Error):
            found[name] = int(psutil.Process(child.pid).memory_info().rss)
    return found


def _message(random: Random) -> tuple[str, str, bytes]:
    """A service, a name, and a body for it."""
    service, name = random.choice(sorted(COMMANDS.keys() | QUESTIONS.keys()))
    while name in INTERNAL:
        service, name = random.choice(sorted(COMMANDS.keys() | QUESTIONS.keys()))
    return service, name, mutated(random, golden.read(f"{service}.{name}")["message"])


async def _request(findings: Findings, connection: Client, random: Random) -> None:
    service, name, body = _message(random)
    try:
        subject, given = f"billing.requests.{service}.{name}", headers(random) or None
        answer = await connection.request(subject, body, timeout=ANSWER_SECONDS, headers=given)
        outcome = json.loads(answer.data)
    except (NatsError, TimeoutError, ValueError) as problem:
        findings.hold(False, f"{service}.{name} {body[:500]!r}: {type(problem).__name__} {problem}")
        return
    error = outcome.get("error") or {}
    fine = outcome.get("status") in STATUSES and (not error or bool(CODE.fullmatch(error.get("code", ""))))
    findings.hold(fine, f"{service}.{name} {body[:500]!r}: {outcome}")
    findings.hold(not answer.headers, f"{service}.{name}: an answer with headers {answer.headers}")


async def _queue(connection: Client, random: Random) -> None:
    service, name, body = _message(random)
    name = random.choice((name, name, "no_such_command", "x" * 200))
    with suppress(NatsError, APIError, TimeoutError):
        await connection.jetstream().publish(
            f"billing.commands.{service}.{name}", body, headers=headers(random) or None, timeout=5
        )


async def _publish(connections: dict[str, Client], random: Random) -> None:
    """Publish random input on random subjects; the server rejects what a user may not publish."""
    user = random.choice(sorted(connections))
    subject = random.choice(
        (
            WEBHOOK_SUBJECT,
            "billing.ticks.subscriptions.no_such_job",
            "billing.change_feed.seat.user_7.claimedV1",
            "$KV.billing_entitlements.user_7.orders",
            "$JS.API.STREAM.PURGE.BILLING_COMMANDS",
            "billing.requests.seats.no_such_question",
            f"billing.commands.{random.getrandbits(32):x}.x",
        )
    )
    _, _, body = _message(random)
    with suppress(NatsError):
        await connections[user].publish(subject, body, headers=headers(random) or None)


def _operations() -> list[tuple[str, str]]:
    return [
        (method.upper(), path)
        for path, methods in sorted(json.loads(OPENAPI.read_text())["paths"].items())
        for method in sorted(methods)
        if "feed" not in path  # a stream, which does not end
    ]


async def _http(findings: Findings, http: httpx.AsyncClient, random: Random) -> None:
    method, path = random.choice([*_operations(), ("GET", "/billing"), ("GET", "/my"), ("POST", "/sign-out")])
    plain = [value for value in STRANGE if isinstance(value, str) and "\ud800" not in value]
    filled = re.sub(r"\{[a-z_]+\}", lambda _: quote(random.choice(plain)[:200] or "x", safe=""), path)
    _, _, body = _message(random)
    kinds = ("application/json", "application/json", "text/plain", "x/y; charset=z")
    given: dict[str, Any] = {"content-type": random.choice(kinds)}
    if random.random() < 0.8:
        given |= bearer(random.choice(CUSTOMERS), random.choice((READ, MANAGE, MANAGE, ADMIN)))
    if random.random() < 0.2:
        given["idempotency-key"] = random.choice(("one", "x" * 129, "a b"))
    query = {random.choice(("limit", "cursor", "status", "x")): random.choice(plain)[:500]}
    params = query if random.random() < 0.4 else None
    content = None if method == "GET" else body
    about = f"{method} {filled} {params} {body[:300]!r}"
    try:
        answer = await http.request(method, filled, content=content, headers=given, params=params)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        findings.hold(isinstance(error, httpx.InvalidURL), f"{about}: {type(error).__name__} {error}")
        return
    findings.hold(answer.status_code < 500 or answer.status_code == 503, f"{about}: {answer.status_code}")
    if answer.status_code >= 400 and filled.startswith("/api/"):
        is_problem = answer.headers.get("content-type", "").startswith("application/problem+json")
        findings.hold(is_problem, f"{about}: {answer.status_code} {answer.text[:200]}")


async def _webhook(findings: Findings, http: httpx.AsyncClient, url: str, random: Random) -> None:
    _, _, body = _message(random)
    given = {name: value for name, value in headers(random).items() if value.isascii()}
    answer = await http.post(url, content=body, headers=given)
    findings.hold(answer.status_code in (400, 413), f"the ingress took {body[:300]!r}: {answer.status_code}")


async def _adds_up(findings: Findings, gateway: GatewaySystem) -> None:
    """Check that `./dev audit` finds nothing."""
    stack = gateway.system.stack
    environment = {**os.environ, "DATABASE_URL": stack.owner_url, "NATS_URL": stack.nats.url}
    audit = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "shared.operations.audit", cwd=ROOT, env=environment, stdout=PIPE, stderr=STDOUT
    )
    said, _ = await audit.communicate()
    findings.hold(audit.returncode == 0, f"the audit: {said.decode(errors='replace')[-1_500:]}")


async def _all_is_well(findings: Findings, gateway: GatewaySystem) -> None:
    """Check that every worker is alive, ready and still works."""
    async with httpx.AsyncClient(timeout=10) as http:
        for service, port in gateway.system.stack.health_ports.items():
            for path in ("live", "ready"):
                answer = await http.get(f"http://127.0.0.1:{port}/{path}")
                findings.hold(answer.status_code == 200, f"{service} /{path}: {answer.text}")
    async with tallystick.connect(gateway.system.stack.nats.users["client"]) as billing:
        await billing.ask(GetCatalog(), deadline_seconds=ANSWER_SECONDS)
