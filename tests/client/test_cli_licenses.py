"""`./dev licenses`: keys, issue, list and show, against a real NATS with a stub in place of the service."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client as NatsClient

from tests.client.test_cli import Run, run_here
from tests.support import golden
from tests.support.client import answer
from tests.support.servers import NatsServer

LICENSE = golden.read("licenses.get_license")["result"]["license"]
KEY = "TSL-000G40R4-0M30E209-185GR38E-1W8124GK-C"


@pytest.fixture
def run(provisioned: NatsServer, tmp_path: Path) -> Callable[..., Any]:
    """Run the client concurrently with the test, with an endpoints file as `./dev up` writes it."""
    endpoints = tmp_path / "endpoints.json"
    endpoints.write_text(
        json.dumps(
            {
                "nats": provisioned.users["client"],
                "nats_users": provisioned.users,
                "nats_monitor": provisioned.monitor_url,
            }
        )
    )

    async def run(*arguments: str) -> Run:
        return await asyncio.to_thread(run_here, "licenses", *arguments, "--endpoints", str(endpoints))

    return run


def result(name: str) -> dict[str, Any]:
    """The golden result of a message as an outcome."""
    return {"status": "succeeded", "result": golden.read(f"licenses.{name}")["result"]}


async def test_keys_are_a_key_set(run: Callable[..., Any], admin: NatsClient) -> None:
    found = result("list_signing_keys")
    active = {**found["result"]["keys"][0], "status": "active", "retired_at": None, "expires_at": None}
    found["result"]["keys"].append(active)
    await answer(admin, "billing.requests.licenses.list_signing_keys", found)
    done = await run("keys")
    # The retired key has ended long ago.
    [key] = done.json["keys"]
    assert (key["kty"], key["crv"], key["alg"], key["x"]) == ("OKP", "Ed25519", "EdDSA", active["x"])


async def test_a_license_is_issued(run: Callable[..., Any], admin: NatsClient) -> None:
    asked = await answer(admin, "billing.requests.licenses.issue_license", result("issue_license"))
    options = ("--seats", "25", "--expires-at", "2027-01-01")
    done = await run("issue", "organization_acme", "server", *options)
    assert (done.code, done.json["license_key"][:4]) == (0, "TSL-")
    assert asked[0].pop("command_id").startswith("cli-")
    assert asked == [
        {
            "customer": {"type": "organization", "id": "acme"},
            "product": "server",
            "seats": 25,
            "expires_at": "2027-01-01T00:00:00Z",
        }
    ]
    wrong = await run("issue", "acme", "server")
    assert (wrong.code, len(asked)) == (2, 1)


async def test_licenses_are_listed_and_shown(run: Callable[..., Any], admin: NatsClient) -> None:
    listed = await answer(admin, "billing.requests.licenses.list_licenses", result("list_licenses"))
    asked = await answer(admin, "billing.requests.licenses.get_license", result("get_license"))
    done = await run("list", "--customer", "organization_acme", "--status", "active")
    assert done.json["items"] == [LICENSE]
    assert (listed[0]["customer"], listed[0]["status"]) == ({"type": "organization", "id": "acme"}, "active")
    for wanted in (LICENSE["license_id"], "sub_1", KEY.lower()):
        assert (await run("show", wanted)).json == LICENSE
    assert asked == [
        {"license_id": LICENSE["license_id"]},
        {"subscription_id": "sub_1"},
        {"license_key": KEY},
    ]
    mistyped = await run("show", KEY[:-1] + "D")
    assert (mistyped.code, len(asked)) == (2, 3), "a typing error is not asked about"
    assert "typing error" in mistyped.err


async def test_a_rejection_is_a_failure(run: Callable[..., Any], admin: NatsClient) -> None:
    error = {"code": "unknown_product", "message": "The catalog has no such product.", "details": {}}
    await answer(admin, "billing.requests.licenses.issue_license", {"status": "rejected", "error": error})
    done = await run("issue", "organization_acme", "server")
    assert (done.code, "unknown_product" in done.err) == (1, True)
