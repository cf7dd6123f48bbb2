"""What a newcomer finds done: the example catalog applied, and a checkout page waiting for a test card.

It speaks to the product through the command line client, as anybody would.
"""

from __future__ import annotations

import json
import secrets
import sys
from pathlib import Path

import yaml

from sandbox.endpoints import Places
from sandbox.environments import of_client
from sandbox.managed_process import Program
from sandbox.supervisor import StartFailed, Supervisor
from sandbox.workers import ROOT

CATALOG = ROOT / "catalogs" / "example.yaml"
_CLIENT_TIMEOUT_SECONDS = 30.0
# Where the real Stripe redirects to; the stand-in has pages of its own for that.
_NO_SHOP = "https://example.com"


def apply_catalog(supervisor: Supervisor, places: Places) -> None:
    """Apply the example catalog; nothing changes where it is applied already. Raises `StartFailed`."""
    supervisor.run(client(places, "catalog", "apply", str(CATALOG)), _CLIENT_TIMEOUT_SECONDS)


def demo_checkout(supervisor: Supervisor, places: Places) -> tuple[str, str] | None:
    """A new customer's name and the URL of a checkout page for them; None where none could be made.

    The sandbox is of use without it, so a failure is not one of the start.
    """
    shop = f"{places.stripe_url}/_sandbox" if places.uses_stand_in else _NO_SHOP
    customer = {"type": "organization", "id": f"demo-{secrets.token_hex(3)}"}
    try:
        request(
            supervisor,
            places,
            "register_customer",
            {"customer": customer, "email": f"{customer['id']}@example.com", "name": "Demo"},
        )
        answer = request(
            supervisor,
            places,
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
    supervisor: Supervisor, places: Places, name: str, fields: dict[str, object]
) -> dict[str, object]:
    """Send a command to subscriptions; gives its result. Raises `StartFailed`, `ValueError`, `KeyError`."""
    program = client(places, "request", "subscriptions", name, json.dumps(fields))
    outcome = json.loads(supervisor.run(program, _CLIENT_TIMEOUT_SECONDS))
    result: dict[str, object] = outcome["result"]
    return result


def client(places: Places, *arguments: str) -> Program:
    """The command line client with these arguments."""
    command = [sys.executable, "-m", "tallystick", *arguments]
    return Program("client", command, of_client(places), directory=ROOT)


def demo_price(catalog: Path) -> str:
    """The first price of a plan without seats that costs something."""
    for product in yaml.safe_load(catalog.read_text())["products"]:
        if product["kind"] != "plan" or "seats" in product:
            continue
        for price in product["prices"]:
            if price["model"] == "flat":
                return str(price["code"])
    raise ValueError(f"{catalog} has no plan with a flat price")
