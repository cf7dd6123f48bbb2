"""The example of a product on premises, against the running system, with the product's clock moved."""

import importlib.util
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.ports import HOST, free_port
from shared.persistence.migrations import ROOT
from tallystick.messages import licenses as m
from tests.support.gateway import GatewaySystem, gateway_before
from tests.support.shop import Shop, fresh_id
from tests.support.stack import System

SOURCE = ROOT / "examples" / "on_premises" / "product.py"
LINES_MAX = 60
DAY = timedelta(days=1)

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def example() -> Any:
    """The example's module."""
    spec = importlib.util.spec_from_file_location("on_premises_product", SOURCE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def entrance(system: System) -> Iterator[GatewaySystem]:
    """A gateway whose rate limits no other test uses up."""
    with gateway_before(system) as running:
        yield running


def test_it_is_short() -> None:
    assert len([line for line in SOURCE.read_text().splitlines() if line.strip()]) <= LINES_MAX


async def test_a_product_runs_without_a_network_and_then_degrades(
    example: Any, entrance: GatewaySystem, shop: Shop, tmp_path: Path
) -> None:
    await shop.register()
    issue = m.IssueLicense(
        command_id=fresh_id("issue"), customer=shop.acme, product="self_hosted", instances=1
    )
    issued = await shop.billing.call(issue)
    async with httpx.AsyncClient(base_url=entrance.url) as http:
        keys = (await http.get("/.well-known/tallystick-licenses.json")).json()
    product = example.Product(tmp_path, entrance.url, keys)
    now = datetime.now(UTC)
    assert product.activate(issued.license_key, now) == "running"
    assert product.daily(18, now) == "running"
    found = (await shop.billing.ask(m.GetLicense(license_id=issued.license.license_id))).license
    assert [one.members for one in found.activations] == [18]

    # From here on it cannot reach the server: 30 days offline, 14 of grace.
    offline = example.Product(tmp_path, f"http://{HOST}:{free_port()}", keys)
    assert offline.daily(18, now + 29 * DAY) == "running"
    assert offline.daily(18, now + 31 * DAY) == "running, without new members"
    assert offline.mode(now + 43 * DAY) == "running, without new members"
    assert offline.mode(now + 45 * DAY) == "stopped: it has ended"
    assert "earlier time" in offline.mode(now + 29 * DAY), "a clock set back does not help"
    copied = example.Product(tmp_path, entrance.url, keys)
    copied.state["id"] = "another-machine"
    assert copied.mode(now + 46 * DAY) == "stopped: the file was issued for another machine"


async def test_a_refused_renewal_leaves_the_old_file(
    example: Any, entrance: GatewaySystem, shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await shop.register()
    issue = m.IssueLicense(command_id=fresh_id("issue"), customer=shop.acme, product="self_hosted")
    issued = await shop.billing.call(issue)
    async with httpx.AsyncClient(base_url=entrance.url) as http:
        keys = (await http.get("/.well-known/tallystick-licenses.json")).json()
    product = example.Product(tmp_path, entrance.url, keys)
    product.activate(issued.license_key, datetime.now(UTC))
    suspend = m.SuspendLicense(command_id=fresh_id("suspend"), license_id=issued.license.license_id)
    await shop.billing.call(suspend)
    assert product.daily(3, datetime.now(UTC)) == "running"
    assert "license_suspended" in capsys.readouterr().out
