"""Any order of wishes, Stripe's events and ticks ends where Stripe says: the lifecycle as a state machine.

Events are heard in any order, twice, or not at all until somebody looks; time passes on a test clock; cards
begin and cease to work. `LIFECYCLE_EXAMPLES=200` looks further than a test run does.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.subscriptions.app import service
from services.subscriptions.catalog.domain.view import CatalogView
from services.subscriptions.catalog.store import load_catalog
from services.subscriptions.checkouts import Trials
from services.subscriptions.domain.from_stripe import state_of
from services.subscriptions.domain.stripe_objects import read_subscription
from services.subscriptions.domain.subscription import State, what_is_bought
from services.subscriptions.dunning import Dunning
from services.subscriptions.snapshots import state_of_row
from services.subscriptions.store import find_subscription
from services.subscriptions.stripe_gateway import StripeGateway
from tallystick.messages import subscriptions as m
from tallystick.messages.base import COMMON_REJECTIONS, Command, Customer, Outcome
from tallystick.messages.webhooks import APPLIED_EVENT_TYPES
from tests.handlers.subscription_world import World, gapless
from tests.support.runtime import Bound
from tests.support.stripe import SECRET_KEY, StripeStandIn, stripe_stand_in

pytestmark = [
    # The SDK's own way of calling httpx.
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
    pytest.mark.timeout(600),
]
EXAMPLES = int(os.environ.get("LIFECYCLE_EXAMPLES", "8"))
STEPS = 14
GOOD, BAD = "pm_card_visa", "pm_card_chargeCustomerFail"
FINAL_EVENTS = {"canceledV1", "expiredV1"}
Run = Callable[[Any], Any]
WISHES: list[tuple[Any, dict[str, Any]]] = [
    (m.ChangeQuantity, {"when": "now"}),
    (m.ChangeQuantity, {"when": "period_end"}),
    (m.CancelScheduledChange, {}),
    (m.CancelSubscription, {"at": "period_end"}),
    (m.CancelSubscription, {"at": "now"}),
    (m.ReactivateSubscription, {}),
    (m.PauseSubscription, {}),
    (m.ResumeSubscription, {}),
]


@pytest.fixture
def stand_in() -> Iterator[StripeStandIn]:
    with stripe_stand_in() as running:
        yield running


def test_any_order_ends_where_stripe_says(service_database: str, stand_in: StripeStandIn) -> None:
    with asyncio.Runner() as runner:
        world, gateway = runner.run(_open(service_database, stand_in))
        chosen = settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize="LIFECYCLE_EXAMPLES" not in os.environ,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        try:
            machine: Any = partial(Lifecycle, runner.run, world)
            run_state_machine_as_test(machine, settings=chosen)
        finally:
            runner.run(_close(world, gateway))


async def _open(database: str, stand_in: StripeStandIn) -> tuple[World, StripeGateway]:
    gateway = StripeGateway(SECRET_KEY, stand_in.url)
    bound = Bound(service, database, [gateway, Trials(None), Dunning()])
    world = World(bound, stand_in, gateway)
    await world.apply_catalog()
    return world, gateway


async def _close(world: World, gateway: StripeGateway) -> None:
    await gateway.close()
    await world.bound.close()


class Lifecycle(RuleBasedStateMachine):
    """One customer on a test clock of their own."""

    customers = 0

    def __init__(self, run: Run, world: World) -> None:
        super().__init__()
        self.run, self.world, self.stripe = run, world, world.stripe
        Lifecycle.customers += 1
        self.customer = Customer(type="user", id=f"u{Lifecycle.customers}")
        self.time = int(time.time())
        self.clock = self.stripe.v1.test_helpers.test_clocks.create({"frozen_time": self.time}).id
        theirs = self.stripe.v1.customers.create({"email": "pay@acme.example", "test_clock": self.clock})
        self.stripe_id = theirs.id
        self.last_event = self.newest_event()
        self.waiting: list[dict[str, Any]] = []
        self.dropped: list[dict[str, Any]] = []
        self.saves(GOOD)
        self.run(world.register(self.customer, stripe_customer_id=self.stripe_id))

    @initialize(price=st.sampled_from(["team_yearly", "solo_monthly"]), heard=st.booleans())
    def has_bought(self, price: str, heard: bool) -> None:
        """Without a subscription there is little to see; half of them have been heard of."""
        self.buys(price, 3)
        if heard:
            self.hears_all_that_waits()

    # -- wishes ---------------------------------------------------------------------------------------------

    # One rule for all wishes: Hypothesis favours few rules, and would hardly get past the first ones.
    @rule(wish=st.sampled_from(WISHES), quantity=st.integers(1, 6))
    def wishes(self, wish: Any, quantity: int) -> None:
        kind, fields = wish
        if kind is m.ChangeQuantity:
            fields = {**fields, "quantity": quantity}
        self.asks_about(kind, **fields)

    @rule(price=st.sampled_from(["team_yearly", "solo_monthly"]))
    def buys_again(self, price: str) -> None:
        self.buys(price, 2)

    def buys(self, price: str, quantity: int) -> None:
        wanted = quantity if price == "team_yearly" else None
        started = self.asks_for(self.world.checkout(price, customer=self.customer, quantity=wanted))
        if started is not None:
            self.run(self.world.pays(started["checkout_url"]))

    # -- the world ------------------------------------------------------------------------------------------

    @rule(what=st.sampled_from([1, 8, 31, 31, BAD, GOOD, *sorted(service.jobs)]))
    def happens(self, what: Any) -> None:
        """Days go by, a card is saved, or a tick comes."""
        if isinstance(what, int):
            self.time += what * 86_400
            self.stripe.v1.test_helpers.test_clocks.advance(self.clock, {"frozen_time": self.time})
        elif what in (GOOD, BAD):
            self.saves(what)
        else:
            self.run(self.world.bound.tick(what, datetime.fromtimestamp(self.time, UTC)))

    def saves(self, card: str) -> None:
        method = self.stripe.v1.payment_methods.attach(card, {"customer": self.stripe_id})
        default: Any = {"invoice_settings": {"default_payment_method": method.id}}
        self.stripe.v1.customers.update(self.stripe_id, default)

    @precondition(lambda self: self.new_events())
    @rule(place=st.integers(0, 100), twice=st.booleans())
    def hears(self, place: int, twice: bool) -> None:
        event = self.waiting.pop(place % len(self.waiting))
        self.run(self.world.hears(*[event] * (2 if twice else 1)))

    @precondition(lambda self: self.new_events())
    @rule(place=st.integers(0, 100))
    def misses(self, place: int) -> None:
        self.dropped.append(self.waiting.pop(place % len(self.waiting)))

    @rule()
    def hears_all_that_waits(self) -> None:
        self.new_events()
        self.run(self.world.hears(*self.waiting))
        self.waiting.clear()

    # -- what must hold -------------------------------------------------------------------------------------

    @invariant()
    def what_has_ended_stays_ended(self) -> None:
        told = self.told("subscription")
        assert gapless(told, "subscription", "subscription_id")
        ended: set[str] = set()
        for name, body in told:
            of = body["subscription"]["subscription_id"]
            assert of not in ended, f"{name} after the end of {of}"
            if name in FINAL_EVENTS:
                ended.add(of)

    def teardown(self) -> None:
        """Whatever was missed is found in the end, and then everything is as Stripe says."""
        self.new_events()
        self.run(self.world.hears(*self.waiting, *self.dropped))
        self.run(
            self.world.bound.tick("sync_stripe", datetime.fromtimestamp(self.time, UTC) + timedelta(days=2))
        )
        self.new_events()
        self.run(self.world.hears(*self.waiting))
        self.what_has_ended_stays_ended()
        self._subscriptions_are_stripes()
        self._invoices_are_stripes_and_paid_once()

    def _subscriptions_are_stripes(self) -> None:
        listed = self.stripe.v1.subscriptions.list({"customer": self.stripe_id, "status": "all"}).data
        theirs = {found.id: read_subscription(found.to_dict()) for found in listed}
        ours, shelf = self.run(self._ours())
        assert ours.keys() == theirs.keys()
        for stripe_id, subscription in theirs.items():
            assert _essence(ours[stripe_id]) == _essence(state_of(subscription, shelf)), stripe_id

    def _invoices_are_stripes_and_paid_once(self) -> None:
        listed = self.stripe.v1.invoices.list({"customer": self.stripe_id, "limit": 100}).data
        theirs = {found.id: (found.status, found.total, found.amount_paid) for found in listed}
        page = self.run(self.world.asks(m.ListInvoices(customer=self.customer, limit=200)))
        ours = {
            each["stripe_invoice_id"]: (each["status"], each["total"], each["amount_paid"])
            for each in page["items"]
        }
        assert ours == theirs
        told = Counter(
            body["invoice"]["invoice_id"] for name, body in self.told("invoice") if name == "paidV1"
        )
        assert all(times == 1 for times in told.values())
        charges = self.stripe.v1.charges.list({"customer": self.stripe_id, "limit": 100}).data
        collected = sum(charge.amount for charge in charges if charge.status == "succeeded")
        assert collected == sum(paid for _, _, paid in theirs.values())

    # -- helpers --------------------------------------------------------------------------------------------

    def asks_for(self, command: Command[Any]) -> dict[str, Any] | None:
        """The result of a command, or None where it is refused with one of its codes."""
        outcome: Outcome = self.run(self.world.bound.handle(command, datetime.now(UTC)))
        if outcome.error is not None:
            assert outcome.error.code in {*command.rejections, *COMMON_REJECTIONS}, outcome.error
        return outcome.result

    def asks_about(self, kind: Any, **fields: Any) -> None:
        """A command about the customer's newest subscription, if there is one."""
        question = m.GetSubscription(customer=self.customer)
        found = self.run(self.world.bound.handle(question)).result
        if found is not None:
            about = found["subscription"]["subscription_id"]
            self.asks_for(kind(command_id=self.world.command_id(), subscription_id=about, **fields))

    def newest_event(self) -> str | None:
        page = self.stripe.v1.events.list({"limit": 1}).data
        return page[0].id if page else None

    def new_events(self) -> list[dict[str, Any]]:
        """What waits to be heard, with what Stripe has told since."""
        fresh: list[dict[str, Any]] = []
        for event in self.stripe.v1.events.list({"limit": 100}).auto_paging_iter():
            if event.id == self.last_event:
                break
            fresh.append(event.to_dict(for_json=True))
        if fresh:
            self.last_event = fresh[0]["id"]
        self.waiting += [event for event in reversed(fresh) if event["type"] in APPLIED_EVENT_TYPES]
        return self.waiting

    def told(self, entity: str) -> list[tuple[str, dict[str, Any]]]:
        token = self.customer.token
        feed = self.run(self.world.told(entity))
        return [
            (name, body)
            for name, body in feed
            if f"{body['customer']['type']}_{body['customer']['id']}" == token
        ]

    async def _ours(self) -> tuple[dict[str, State], CatalogView]:
        page = await self.world.asks(m.ListSubscriptions(customer=self.customer))
        transactions = self.world.bound.runtime.transactions
        async with transactions.read(asked="test", now=datetime.now(UTC)) as work:
            ours = {}
            for each in page["items"]:
                row = await find_subscription(work.session, each["subscription_id"])
                assert row is not None
                ours[each["stripe_subscription_id"]] = state_of_row(row)
            return ours, await load_catalog(work.session)


def _essence(state: State) -> Any:
    """What Stripe decides; features, grace and the like are ours."""
    period = (state.current_period_start, state.current_period_end)
    return (state.status, what_is_bought(state), period, state.cancel_at_period_end, state.trial_end)
