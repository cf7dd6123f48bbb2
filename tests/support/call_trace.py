"""The files that a message goes through, measured in real workers, for the architecture guide.

`python -m tests.support.call_trace WAY…` prints ways: the files in the order in which a reader comes to
them, with the functions that are entered there.

A *stop* is a file in which a function of the project is entered while the message is handled. Its place is
that of its first entrance. A reader opens a file when a function is entered that they have not read yet.
They open it *again* when that happens in a file they have left: the new function's caller is in another
file, and so is the function they have read last. Coming back from a callee is no visit, and neither is a
function that they know already; a task or a callback is called by the function that creates it.
"""

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import httpx

import tallystick
from tallystick.messages import consumables as c
from tallystick.messages import seats as s
from tallystick.messages import subscriptions as m
from tallystick.messages.catalog import ApplyCatalog
from tallystick.subjects import ENTITLEMENTS_BUCKET
from tests.support.catalogs import example_catalog
from tests.support.servers import scratch_directory
from tests.support.shop import Shop, fresh_id
from tests.support.stack import System, whole_system
from tests.support.waiting import eventually

VOCABULARY = frozenset(
    {
        "shared/clock.py",
        "shared/ids.py",
        "shared/observability/tracing.py",
        "tallystick/message_size.py",
        "tallystick/messages/base.py",
        "tallystick/subjects.py",
    }
)
"""Words that every message uses, such as `utc_now` and `new_id`: a reader understands them by their names,
and does not open these files. They are no stops."""
SERVICES = ("webhooks", "subscriptions", "seats", "consumables")
QUIET_SECONDS = 0.5
"""A way has ended when nothing of it was called for so long: many times what its slowest step takes."""


class Call(NamedTuple):
    """A function that is entered."""

    at: float
    path: str
    function: str
    caller: str | None
    """The file of the function that called it; None where a library did, when a message came in."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A way that was recorded, in order."""

    calls: list[Call]

    @property
    def read(self) -> list[Call]:
        """Each function once, when it is entered first."""
        first: dict[tuple[str, str], Call] = {}
        for call in self.calls:
            first.setdefault((call.path, call.function), call)
        return list(first.values())

    @property
    def files(self) -> list[str]:
        """The stops, in order."""
        return list(dict.fromkeys(call.path for call in self.calls if call.path not in VOCABULARY))

    @property
    def visits(self) -> list[tuple[str, list[str]]]:
        """How a reader goes: file by file, with the functions they read there."""
        found: list[tuple[str, list[str]]] = []
        pages: dict[str, list[str]] = {}
        last = ""
        for call in self.read:
            if call.path in VOCABULARY:
                continue
            if call.path not in pages or call.path not in (last, call.caller):
                pages[call.path] = []
                found.append((call.path, pages[call.path]))
            pages[call.path].append(call.function)
            last = call.path
        return found

    @property
    def opened_again(self) -> list[str]:
        """The files to which a reader has to come back, once for each time."""
        paths = [path for path, _ in self.visits]
        return [path for number, path in enumerate(paths) if path in paths[:number]]


class Leg(NamedTuple):
    """A part of a way: how its message comes in, ids by which it is known, and whose worker it comes to."""

    kind: str
    marks: Sequence[str]
    services: Sequence[str] = SERVICES

    def has(self, tree: dict[str, Any]) -> bool:
        """Whether what was recorded from one entrance on belongs to this part."""
        is_here = tree["kind"] == self.kind and tree["service"] in self.services
        return is_here and not set(self.marks).isdisjoint(tree["marks"])


@dataclass(slots=True)
class Tracer:
    """A system whose workers record, with a customer who uses it."""

    shop: Shop
    directory: Path

    async def trace(self, legs: Sequence[Leg], act: Callable[[], Awaitable[Any]]) -> Trace:
        """What is called on the way of the message that `act` sends, which returns when the way has ended."""
        marks = [mark for leg in legs for mark in leg.marks]
        (self.directory / "marks.json").write_text(json.dumps(marks))
        await self._emit(signal.SIGUSR1)
        await act()

        async def ended() -> list[Call]:
            trees = await self._emit(signal.SIGUSR2)
            at = time.monotonic()
            missing = [leg for leg in legs if not any(leg.has(tree) for tree in trees)]
            assert not missing, f"not recorded: {missing}"
            ours = [tree for tree in trees if any(leg.has(tree) for leg in legs)]
            calls = sorted(Call(*call) for tree in ours for call in tree["calls"])
            return calls if at - calls[-1].at > QUIET_SECONDS else []

        return Trace(await eventually(ended))

    async def _emit(self, number: signal.Signals) -> list[dict[str, Any]]:
        """Signal every worker; what they write then."""
        files = [self.directory / f"{service}.json" for service in SERVICES]
        for service, file in zip(SERVICES, files, strict=True):
            file.unlink(missing_ok=True)
            self.shop.system.stack.children[service].process.send_signal(number)
        await eventually(lambda: all(file.exists() for file in files))
        told = [json.loads(file.read_text()) for file in files]
        assert not any(one["problem"] for one in told), told
        return [tree for one in told for tree in one["trees"]]


@contextmanager
def traced_system() -> Iterator[tuple[System, Path]]:
    """The whole system with workers that can record, and where they do."""
    with scratch_directory("trace") as directory, whole_system(directory) as system:
        yield system, directory


@asynccontextmanager
async def tracer(system: System, directory: Path) -> AsyncIterator[Tracer]:
    """A new customer of a system with workers that can record."""
    async with (
        tallystick.connect(system.stack.nats.users["client"]) as billing,
        httpx.AsyncClient(timeout=20) as browser,
    ):
        shop = Shop(system, billing, browser)
        await billing.call(ApplyCatalog(command_id=fresh_id("apply"), catalog=example_catalog()))
        theirs = shop.stripe.v1.customers.create({"email": "pay@acme.example"})
        shop.saves_card(theirs.id)
        await shop.register(stripe_customer_id=theirs.id)
        yield Tracer(shop, directory)


# Each way is gone twice and recorded the second time: at first connections and caches are empty.


async def consume(tracer: Tracer) -> Trace:
    """From the request to the reply."""
    shop = tracer.shop
    await _subscribes(shop, "essential_monthly")
    asked = c.GetBalance(account=f"customer:{shop.acme.token}", feature="orders")

    async def has_units() -> bool:
        return (await shop.billing.answer(asked)).status == "succeeded"

    await eventually(has_units)
    first, second = (
        c.Consume(command_id=fresh_id("use"), consumer=shop.acme, feature="orders", quantity=2)
        for _ in range(2)
    )
    await shop.billing.call(first)
    await shop.all_applied()
    return await tracer.trace([Leg("request", [second.command_id])], lambda: shop.billing.call(second))


async def check_entitlement(tracer: Tracer) -> Trace:
    """From the request to the reply."""
    shop = tracer.shop
    await _subscribes(shop, "essential_monthly")
    await eventually(lambda: shop.bucket("products"))
    await shop.allowed("products")
    return await tracer.trace([Leg("request", [shop.acme.id])], lambda: shop.allowed("products"))


async def change_seat_count(tracer: Tracer) -> Trace:
    """From the request to the reply, through the service that is asked in between."""
    shop = tracer.shop
    created = await _subscribes(shop, "team_monthly", 3)
    asked = s.GetTeam(subscription_id=created.subscription_id)

    async def is_open() -> bool:
        return (await shop.billing.answer(asked)).status == "succeeded"

    await eventually(is_open)
    team = (await shop.billing.ask(asked)).team
    first, second = (
        s.ChangeSeatCount(command_id=fresh_id("count"), team_id=team.team_id, quantity=quantity, when="now")
        for quantity in (4, 5)
    )
    await shop.billing.call(first)
    await shop.all_applied()
    marks = [second.command_id, team.team_id, created.subscription_id]
    return await tracer.trace([Leg("request", marks)], lambda: shop.billing.call(second))


async def webhook(tracer: Tracer) -> Trace:
    """From Stripe's `customer.subscription.updated` over HTTP to the entitlements bucket."""
    shop = tracer.shop
    created = await _subscribes(shop, "essential_monthly")
    await shop.all_applied()
    await shop.deliveries(paused=True)
    try:
        await _arrives(shop, await _moves(shop, created, "professional_monthly"), "priority_support")
        event = await _moves(shop, created, "business_monthly")
        key = f"$KV.{ENTITLEMENTS_BUCKET}.{shop.acme.token}."
        legs = [
            Leg("http", [event["id"]], ["webhooks"]),
            Leg("publication", [event["id"]], ["webhooks"]),
            Leg("delivery", [event["id"]], ["subscriptions"]),
            Leg("publication", [key], ["subscriptions"]),
        ]
        return await tracer.trace(legs, lambda: _arrives(shop, event, "analytics"))
    finally:
        await shop.deliveries(paused=False)
        await shop.all_applied()


WAYS: dict[str, Callable[[Tracer], Awaitable[Trace]]] = {
    "consume": consume,
    "webhook": webhook,
    "change_seat_count": change_seat_count,
    "check_entitlement": check_entitlement,
}


async def _subscribes(shop: Shop, price: str, quantity: int | None = None) -> m.SubscriptionSnapshot:
    command = m.CreateSubscription(
        command_id=fresh_id("create"),
        customer=shop.acme,
        items=[m.ItemToBuy(price=price, quantity=quantity)],
        trial_days=0,
    )
    return (await shop.billing.call(command)).subscription


async def _moves(shop: Shop, subscription: m.SubscriptionSnapshot, price: str) -> dict[str, Any]:
    """Change a subscription's price in Stripe, in a second of its own; the event that tells of it."""
    second = int(time.time())
    # What Stripe says of one second has no order, and would be asked for.
    await eventually(lambda: int(time.time()) > second)
    found = shop.stripe.v1.subscriptions.retrieve(str(subscription.stripe_subscription_id))
    to = shop.stripe.v1.prices.list({"lookup_keys": [price]}).data[0]
    items: Any = [{"id": found["items"].data[0].id, "price": to.id}]
    shop.stripe.v1.subscriptions.update(found.id, {"items": items})
    told = reversed(shop.stripe_events(str(found.customer)))
    return next(one for one in told if one["type"] == "customer.subscription.updated")


async def _arrives(shop: Shop, event: dict[str, Any], feature: str) -> None:
    """Post an event of Stripe's, and wait until the bucket has a feature."""
    assert await shop.posts(event) == 200
    await eventually(lambda: shop.bucket(feature))


async def _traced(way: str, system: System, directory: Path) -> Trace:
    async with tracer(system, directory) as recording:
        return await WAYS[way](recording)


def _print(way: str, trace: Trace) -> None:
    files, functions, again = len(trace.files), len(trace.read), len(trace.opened_again)
    print(f"\n{way}: {files} files, {functions} functions, {again} times a file is opened again")
    number = 0
    seen: set[str] = set()
    for path, names in trace.visits:
        number += path not in seen
        print(f"{'again' if path in seen else number:>5} {path}: {', '.join(names)}")
        seen.add(path)


def main(ways: Sequence[str]) -> None:
    """Print these ways, or all."""
    with traced_system() as (system, directory):
        for way in ways or WAYS:
            _print(way, asyncio.run(_traced(way, system, directory)))


if __name__ == "__main__":
    main(sys.argv[1:])
