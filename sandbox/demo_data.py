"""Demo data: applies the example catalog and opens a checkout page to try a test card.

It uses the command line client, like any other user of the product.
"""

from __future__ import annotations

import json
import secrets
import sys
from pathlib import Path

import yaml

from sandbox.endpoints import Endpoints
from sandbox.environments import of_client
from sandbox.managed_process import Program
from sandbox.supervisor import StartFailed, Supervisor
from sandbox.workers import ROOT

CATALOG = ROOT / "catalogs" / "example.yaml"
_CLIENT_TIMEOUT_SECONDS = 30.0
# Return URL for the real Stripe; the stand-in has return pages.
_NO_SHOP = "https://example.com"


def apply_catalog(supervisor: Supervisor, endpoints: Endpoints) -> None:
    """Apply the example catalog; applying it again changes nothing. Raises `StartFailed`."""
    supervisor.run(client(endpoints, "catalog", "apply", str(CATALOG)), _CLIENT_TIMEOUT_SECONDS)


def demo_checkout(supervisor: Supervisor, endpoints: Endpoints) -> tuple[str, str] | None:
    """Return a new customer's token and the URL of their checkout page; None on failure.

    A failure does not abort the start, since the sandbox works without the demo.
    """
    shop = f"{endpoints.stripe_url}/_sandbox" if endpoints.uses_stand_in else _NO_SHOP
    customer = {"type": "organization", "id": f"demo-{secrets.token_hex(3)}"}
    try:
        request(
            supervisor,
            endpoints,
            "register_customer",
            {"customer": customer, "email": f"{customer['id']}@example.com", "name": "Demo"},
        )
        answer = request(
            supervisor,
            endpoints,
            "start_checkout",
            {
                "customer": customer,
                "items": [{"price": demo_price(CATALOG)}],
                "success_url": f"{shop}/paid",
                "cancel_url": f"{shop}/not-paid",
            },
        )
        return f"{customer['type']}_{customer['id']}", str(answer["checkout_url"])
    except (StartFailed, ValueError, KeyError):
        return None


def request(
    supervisor: Supervisor, endpoints: Endpoints, name: str, fields: dict[str, object]
) -> dict[str, object]:
    """Send a command to subscriptions and return its result.

    Raises `StartFailed`, `ValueError` and `KeyError`.
    """
    program = client(endpoints, "request", "subscriptions", name, json.dumps(fields))
    outcome = json.loads(supervisor.run(program, _CLIENT_TIMEOUT_SECONDS))
    result: dict[str, object] = outcome["result"]
    return result


def client(endpoints: Endpoints, *arguments: str) -> Program:
    """Return the command line client with these arguments as a program."""
    command = [sys.executable, "-m", "tallystick", *arguments]
    return Program("client", command, of_client(endpoints), directory=ROOT)


def demo_price(catalog: Path) -> str:
    """Return the first price of a plan without seats that is not free."""
    for product in yaml.safe_load(catalog.read_text())["products"]:
        if product["kind"] != "plan" or "seats" in product:
            continue
        for price in product["prices"]:
            if price["model"] == "flat":
                return str(price["code"])
    raise ValueError(f"{catalog} has no plan with a flat price")
