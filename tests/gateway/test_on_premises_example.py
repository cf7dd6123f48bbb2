"""The example of a product on premises, against the running system, with its clock and the worker's moved."""

import importlib.util
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

import tallystick
from sandbox.ports import HOST, free_port
from shared.messaging.nats_connection import connect
from shared.persistence.migrations import ROOT
from tallystick.messages import licenses as m
from tallystick.messages import subscriptions as s
from tallystick.messages.base import Customer
from tallystick.messages.catalog import ApplyCatalog
from tests.support.catalogs import example_catalog
from tests.support.gateway import GatewaySystem, gateway_before
from tests.support.license_steps import key_of, license_when, subscribes
from tests.support.shop import Shop, fresh_id
from tests.support.stack import System, whole_system
from tests.support.waiting import eventually
from tests.support.worker_in_time import IN_TIME

SOURCE = ROOT / "examples" / "on_premises" / "product.py"
LINES_MAX = 68
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


NOT_NEEDED = ("licenses", "consumables", "monitoring", "payouts", "notifications")
FULL, DEGRADED, ENDED = "running", "running, without new members", "stopped: it has ended"


def after(days: float) -> datetime:
    """The time so many days from now."""
    return datetime.now(UTC) + days * DAY


@dataclass(frozen=True, slots=True)
class TimePassing:
    """A system whose licenses worker runs at a time that a test chooses, and the product's two servers."""

    entrance: GatewaySystem
    billing: tallystick.Client
    home: Path
    example: Any
    keys: dict[str, Any]
    away: str
    """Where nobody answers."""

    @contextmanager
    def days(self, days: float) -> Iterator[datetime]:
        """Run the licenses worker so many days from now; the product's time then."""
        arguments = ["licenses", str(days)]
        with self.entrance.system.stack.worker("licenses", module=IN_TIME, arguments=arguments):
            yield after(days)

    def online(self) -> Any:
        """The product as it starts with the network there."""
        return self.example.Product(self.home, self.entrance.url, self.keys)

    def offline(self) -> Any:
        """The product as it starts without."""
        return self.example.Product(self.home, self.away, self.keys)

    async def tick(self, job: str, at: datetime) -> None:
        """Run a job of the worker."""
        clock = await connect(self.entrance.system.stack.nats.users["clock"], "clock")
        await clock.request(f"billing.ticks.licenses.{job}", json.dumps({"at": at.isoformat()}).encode())
        await clock.close()


@pytest.fixture(scope="module")
def passing_system() -> Iterator[GatewaySystem]:
    """A system of its own, because its licenses worker sees other days than the others."""
    with whole_system(without=NOT_NEEDED) as running, gateway_before(running) as entrance:
        yield entrance


@pytest.fixture
async def passing(passing_system: GatewaySystem, example: Any, tmp_path: Path) -> AsyncIterator[TimePassing]:
    """That system with the example's catalog."""
    nobody = f"http://{HOST}:{free_port()}"
    async with tallystick.connect(passing_system.system.stack.nats.users["client"]) as billing:
        await billing.call(ApplyCatalog(command_id="catalog", catalog=example_catalog()))
        yield TimePassing(passing_system, billing, tmp_path, example, {}, nobody)


async def licensed(passing: TimePassing) -> tuple[m.LicenseSnapshot, str]:
    """A license of a new customer's subscription, its key, and the key set that the product came with."""
    customer = Customer(type="organization", id=fresh_id("acme"))
    register = s.RegisterCustomer(
        command_id=fresh_id("register"), customer=customer, email="pay@acme.example"
    )
    await passing.billing.call(register)
    issued = await subscribes(passing.billing, customer)
    async with httpx.AsyncClient(base_url=passing.entrance.url) as http:
        passing.keys.update((await http.get("/.well-known/tallystick-licenses.json")).json())
    return issued, await key_of(passing.billing, issued.license_id)


async def test_a_product_is_whole_again_once_the_network_is_back(
    passing: TimePassing, capsys: pytest.CaptureFixture[str]
) -> None:
    with passing.days(0) as now:
        issued, key = await licensed(passing)
        assert passing.online().activate(key, now) == FULL
    assert passing.offline().daily(18, after(29)) == FULL
    assert passing.offline().daily(18, after(31)) == DEGRADED
    assert "cannot be reached" in capsys.readouterr().out

    # Back in the time of grace: a refresh is enough.
    with passing.days(32) as now:
        assert passing.online().daily(18, now) == FULL
    assert passing.offline().daily(18, after(61)) == FULL
    assert passing.offline().daily(18, after(63)) == DEGRADED
    assert passing.offline().daily(18, after(77)) == ENDED

    # Back after the end, when the place of the silent machine has become free: it takes one again.
    with passing.days(78) as now:
        await passing.tick("forget_silent_instances", now)
        license_id = issued.license_id

        async def reported() -> list[int | None]:
            found = (await passing.billing.ask(m.GetLicense(license_id=license_id))).license
            return [one.members for one in found.activations]

        async def is_forgotten() -> bool:
            return await reported() == []

        await eventually(is_forgotten)
        assert passing.online().daily(18, now) == FULL
        assert passing.online().daily(20, now) == FULL
        assert await reported() == [20]


async def test_a_license_comes_back_with_its_subscription(
    passing: TimePassing, capsys: pytest.CaptureFixture[str]
) -> None:
    with passing.days(0) as now:
        issued, key = await licensed(passing)
        subscription_id = str(issued.subscription_id)
        assert passing.online().activate(key, now) == FULL
        pause = s.PauseSubscription(command_id=fresh_id("pause"), subscription_id=subscription_id)
        await passing.billing.call(pause)
        await license_when(passing.billing, subscription_id, status="suspended")
        assert passing.online().daily(3, now) == FULL, "what it has runs on"
        assert "license_suspended" in capsys.readouterr().out
    with passing.days(31) as now:
        assert passing.online().daily(3, now) == DEGRADED
        resume = s.ResumeSubscription(command_id=fresh_id("resume"), subscription_id=subscription_id)
        await passing.billing.call(resume)
        await license_when(passing.billing, subscription_id, status="active")
        assert passing.online().daily(3, now) == FULL
