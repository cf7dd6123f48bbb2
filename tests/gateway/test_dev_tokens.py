"""`./dev token`, run as a program."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from services.gateway.auth.principal import Caller
from services.gateway.auth.tokens import TokenVerifier
from tallystick.messages.base import Customer
from tests.support.gateway import JWT_SECRET, GatewaySystem
from tests.support.standalone_gateway import settings

ROOT = Path(__file__).parents[2]
NOWHERE = "http://127.0.0.1:1"

pytestmark = pytest.mark.timeout(120)


def minted(tmp_path: Path, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Return what the command prints for a gateway at this address."""
    endpoints = tmp_path / "endpoints.json"
    endpoints.write_text(json.dumps({"gateway": url, "gateway_jwt_secret": JWT_SECRET}))
    command = [
        sys.executable,
        "-m",
        "services.gateway.auth.dev_tokens",
        "--endpoints",
        str(endpoints),
        *arguments,
    ]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


async def test_a_token_says_who_it_is_for(tmp_path: Path) -> None:
    made = minted(tmp_path, NOWHERE, "organization_acme", "--member", "user_7", "--scope", "billing:read")
    assert made.returncode == 0, made.stderr
    caller: Caller = await TokenVerifier(settings()).caller(made.stdout.strip())
    assert caller.customer == Customer(type="organization", id="acme")
    assert caller.member == Customer(type="user", id="7")
    assert caller.scopes == {"billing:read"}


def test_a_link_opens_its_page(tmp_path: Path, gateway: GatewaySystem) -> None:
    scope = ("--scope", "billing:admin")
    made = minted(tmp_path, gateway.url, "user_me", *scope, "--link", "admin")
    assert made.returncode == 0, made.stderr
    assert httpx.get(made.stdout.strip()).headers["location"] == "/admin"


@pytest.mark.parametrize(
    "arguments",
    [("acme",), ("organization_acme", "--member", "organization_x"), ("organization_acme", "--link", "my")],
    ids=["no customer", "no person", "no gateway"],
)
def test_what_cannot_be_is_told_in_a_line_or_two(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    made = minted(tmp_path, NOWHERE, *arguments)
    assert made.returncode == 1
    assert made.stdout == "" and made.stderr.strip() and "Traceback" not in made.stderr
