"""A state machine for a customer's subscriptions: commands, Stripe events, cards, ticks and time.

Stripe's test clock is also the time at which our commands arrive.
The invariants are in `lifecycle_rules`.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.subscriptions.app import service
from tallystick.messages import subscriptions as m
from tallystick.messages.base import COMMON_REJECTIONS, Command, Customer, Outcome, Question
from tallystick.messages.webhooks import APPLIED_EVENT_TYPES
from tests.support.state_machines.lifecycle_rules import (
    ACTIVE_FEATURES,
    Change,
    Feed,
    Ledger,
    Life,
    periods_are_paid_once,
)
from tests.support.worlds.subscriptions import World

Run = Callable[[Any], Any]
BEGIN = datetime(2031, 1, 31, 9, tzinfo=UTC)
"""The last of a month, from which months are counted with care."""
DAY = timedelta(days=1)
GOOD, BAD = "pm_card_visa", "pm_card_chargeCustomerFail"
PRICES = ["solo_monthly", "crew_monthly", "crew_volume", "crew_yearly"]
WAYS: list[tuple[str, dict[str, Any]]] = [
    ("checkout", {}),
    ("automatic", {}),
    ("automatic", {"trial_days": 7}),
    ("invoice", {}),
    ("none", {}),
    ("none", {"trial_days": 7}),
    ("free", {}),
]
WISHES: list[tuple[Any, dict[str, Any]]] = [
    (m.ChangeQuantity, {"when": "now", "proration": "prorate"}),
    (m.ChangeQuantity, {"when": "now", "proration": "invoice"}),
    (m.ChangeQuantity, {"when": "now", "proration": "none"}),
    (m.ChangeQuantity, {"when": "period_end"}),
    (m.ChangePlan, {"when": "now", "proration": "prorate"}),
    (m.ChangePlan, {"when": "now", "proration": "invoice"}),
    (m.ChangePlan, {"when": "period_end"}),
    (m.ChangePlan, {}),
    (m.CancelScheduledChange, {}),
    (m.CancelSubscription, {"at": "period_end"}),
    (m.CancelSubscription, {"at": "now"}),
    (m.ReactivateSubscription, {}),
    (m.PauseSubscription, {}),
    (m.ResumeSubscription, {}),
]
ROUTINE = ("apply_changes", "end_trials", "move_periods", "end_grace", "send_reminders")
"""The jobs that come every minute or hour, and cost little."""
HAPPENINGS: list[Any] = [1, 8, 8, 15, 31, 31, GOOD, BAD, BAD, "pays", "ticks", "ticks", *sorted(service.jobs)]


class Lifecycle(RuleBasedStateMachine):
    """One customer on a test clock of their own."""

    customers = 0

    def __init__(self, run: Run, world: World, feed: Feed, browser: httpx.Client) -> None:
        super().__init__()
        self.browser = browser
        self.run, self.world, self.stripe, self.feed = run, world, world.stripe, feed
        Lifecycle.customers += 1
        self.customer = Customer(type="user", id=f"u{Lifecycle.customers}")
        self.now, self.life, self.ledger = BEGIN, Life(), Ledger()
        self.clock = self.stripe.v1.test_helpers.test_clocks.create({"frozen_time": _seconds(BEGIN)}).id
        theirs = self.stripe.v1.customers.create({"email": "pay@acme.example", "test_clock": self.clock})
        self.stripe_id = theirs.id
        self.last_event = self.newest_event()
        self.waiting: list[dict[str, Any]] = []
        self.dropped: list[dict[str, Any]] = []
        self.saves(GOOD)
        register = m.RegisterCustomer(
            command_id=world.command_id(),
            customer=self.customer,
            email="pay@acme.example",
            stripe_customer_id=self.stripe_id,
        )
        self.asks_for(register)

    @initialize(
        way=st.sampled_from(WAYS[:3]),
        price=st.sampled_from(PRICES),
        quantity=st.integers(1, 12),
        heard=st.booleans(),
        fails=st.booleans(),
        dashboard=st.sampled_from(["past_due", "unpaid", "cancel"]),
    )
    def has_bought(
        self, way: Any, price: str, quantity: int, heard: bool, fails: bool, dashboard: str
    ) -> None:
        """Without a subscription there is little to see; half of them have been heard of.

        For half of them the next payment fails, and what comes of that is up to Stripe's dashboard.
        """
        settings = {"failed_payments": dashboard}
        assert self.browser.post("/_sandbox/billing_settings", data=settings).status_code == 200
        self.buys(way, price, quantity)
        if heard:
            self.hears_all_that_waits()
        if fails:
            self.saves(BAD)

    # -- wishes ---------------------------------------------------------------------------------------------

    # One rule for all commands: with many rules Hypothesis would hardly get past the first ones.
    @rule(
        wish=st.sampled_from(WISHES),
        price=st.sampled_from(PRICES),
        quantity=st.integers(1, 12),
        which=st.integers(0, 3),
    )
    def wishes(self, wish: Any, price: str, quantity: int, which: int) -> None:
        """Send a command about one of the customer's subscriptions."""
        kind, fields = wish
        subscriptions = self.subscriptions()
        if not subscriptions:
            return
        about = subscriptions[which % len(subscriptions)]
        if kind is m.ChangeQuantity:
            fields = {**fields, "quantity": quantity}
        elif kind is m.ChangePlan:
            fields = {**fields, "price": price, "quantity": None if price == "solo_monthly" else quantity}
        command = kind(command_id=self.world.command_id(), subscription_id=about["subscription_id"], **fields)
        before = self.in_stripe(about)
        if self.asks_for(command) is not None and before is not None:
            after = self.in_stripe(about)
            self.ledger.changes.append(
                Change.between(about["subscription_id"], before, after, self.now, fields.get("proration"))
            )

    @rule(way=st.sampled_from(WAYS), price=st.sampled_from(PRICES), quantity=st.integers(1, 12))
    def buys(self, way: Any, price: str, quantity: int) -> None:
        """Buy by a checkout, or create a subscription."""
        kind, fields = way
        code = "gift_free" if kind == "free" else price
        item = m.ItemToBuy(price=code, quantity=quantity if code.startswith("crew") else None)
        if kind == "checkout":
            started = self.asks_for(self.world.checkout(code, customer=self.customer, quantity=item.quantity))
            if started is not None:
                self.run(self.world.pays(started["checkout_url"]))
            return
        collection: Any = "none" if kind == "free" else kind
        if kind == "none":
            fields = {**fields, "period_start": self.now}
        self.asks_for(
            m.CreateSubscription(
                command_id=self.world.command_id(),
                customer=self.customer,
                items=[item],
                collection=collection,
                **fields,
            )
        )

    # -- the world ------------------------------------------------------------------------------------------

    @rule(what=st.sampled_from(HAPPENINGS))
    def happens(self, what: Any) -> None:
        """Let time pass, save a card, pay an open invoice, or run a tick."""
        if isinstance(what, int):
            self.now += what * DAY
            self.stripe.v1.test_helpers.test_clocks.advance(self.clock, {"frozen_time": _seconds(self.now)})
        elif what in (GOOD, BAD):
            self.saves(what)
        elif what == "pays":
            self.pays()
        elif what == "ticks":
            self.ticks(*ROUTINE)
        else:
            self.ticks(what)

    def ticks(self, *jobs: str) -> None:
        for job in jobs:
            self.run(self.world.bound.tick(job, self.now))

    def saves(self, card: str) -> None:
        method = self.stripe.v1.payment_methods.attach(card, {"customer": self.stripe_id})
        default: Any = {"invoice_settings": {"default_payment_method": method.id}}
        self.stripe.v1.customers.update(self.stripe_id, default)

    def pays(self) -> None:
        self.saves(GOOD)
        owed: Any = {"customer": self.stripe_id, "status": "open"}
        for invoice in self.stripe.v1.invoices.list(owed).data:
            self.stripe.v1.invoices.pay(invoice.id)

    @precondition(lambda self: self.new_events())
    @rule(place=st.integers(0, 100), twice=st.booleans(), is_lost=st.booleans())
    def hears(self, place: int, twice: bool, is_lost: bool) -> None:
        """Deliver any of Stripe's pending events, or drop it."""
        event = self.waiting.pop(place % len(self.waiting))
        if is_lost:
            self.dropped.append(event)
        else:
            self.listens(*[event] * (2 if twice else 1))

    @rule(again=st.booleans())
    def hears_all_that_waits(self, again: bool = False) -> None:
        """Deliver all pending events; with `again` the dropped ones, too."""
        self.new_events()
        if again:
            self.waiting += self.dropped
            self.dropped.clear()
        self.listens(*self.waiting)
        self.waiting.clear()

    # -- what must hold -------------------------------------------------------------------------------------

    @invariant()
    def what_is_told_is_whole(self) -> None:
        """Check the emitted events: versions, ends, and nothing emitted twice."""
        for name, body, entity in self.run(self.feed.new()):
            self.life.is_told(name, body, entity)

    @invariant()
    def features_are_those_of_what_runs(self) -> None:
        """Check the entitlements against the sum of the current subscriptions."""
        expected: dict[str, int] = {}
        for each in self.subscriptions():
            if each["status"] in ("trialing", "active", "past_due") and not each["restricted"]:
                for item in each["items"]:
                    for feature, quantity in ACTIVE_FEATURES[item["product"]].items():
                        expected[feature] = expected.get(feature, 0) + quantity * item["quantity"]
        page = self.asks(m.ListEntitlements(customer=self.customer))
        found = {each["feature"]: each["quantity"] or 0 for each in page["items"]}
        assert found == expected

    def teardown(self) -> None:
        """Reconcile, compare everything with Stripe, and end all subscriptions."""
        self.hears_all_that_waits(again=True)
        self.ticks(*ROUTINE, "sync_stripe")
        self.hears_all_that_waits()
        self.what_is_told_is_whole()
        self.features_are_those_of_what_runs()
        self.run(self.life.subscriptions_are_stripes(self.world, self.customer, self.stripe_id))
        invoices = self.asks(m.ListInvoices(customer=self.customer, limit=200))["items"]
        self.life.invoices_are_stripes(self.stripe, self.stripe_id, invoices)
        periods_are_paid_once(invoices, self.ledger)
        self.ledger.conserves_money(self.stripe, self.stripe_id, self.subscriptions(), invoices)
        self.life.grace_is_counted_from_failures(self.subscriptions(), invoices)
        self._everything_ends()

    def _everything_ends(self) -> None:
        for each in self.subscriptions():
            if each["ended_at"] is None:
                command = m.CancelSubscription(
                    command_id=self.world.command_id(), subscription_id=each["subscription_id"], at="now"
                )
                assert self.asks_for(command) is not None
        self.hears_all_that_waits()
        assert {each["status"] for each in self.subscriptions()} <= {"canceled", "expired"}
        self.what_is_told_is_whole()
        self.features_are_those_of_what_runs()

    # -- helpers --------------------------------------------------------------------------------------------

    def asks_for(self, command: Command[Any]) -> dict[str, Any] | None:
        """The result of a command, or None where it is refused with one of its codes."""
        outcome: Outcome = self.run(self.world.bound.handle(command, self.now))
        assert outcome.status != "failed", outcome
        if outcome.error is not None:
            assert outcome.error.code in {*command.rejections, *COMMON_REJECTIONS}, outcome.error
        return outcome.result

    def asks(self, question: Question[Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.run(self.world.asks(question))
        return found

    def listens(self, *events: dict[str, Any]) -> None:
        self.life.hears(events)
        self.run(self.world.hears(*events))

    def subscriptions(self) -> list[dict[str, Any]]:
        page = self.asks(m.ListSubscriptions(customer=self.customer))
        items: list[dict[str, Any]] = page["items"]
        return items

    def in_stripe(self, subscription: dict[str, Any]) -> dict[str, Any] | None:
        stripe_id = subscription["stripe_subscription_id"]
        if stripe_id is None:
            return None
        found: dict[str, Any] = self.stripe.v1.subscriptions.retrieve(stripe_id).to_dict(for_json=True)
        return found

    def newest_event(self) -> str | None:
        page = self.stripe.v1.events.list({"limit": 1}).data
        return page[0].id if page else None

    def new_events(self) -> list[dict[str, Any]]:
        """Return the pending events, with new ones of Stripe."""
        since: dict[str, Any] = {"limit": 100}
        if self.last_event is not None:
            since["ending_before"] = self.last_event
        while fresh := self.browser.get("/v1/events", params=since).json()["data"]:
            since["ending_before"] = self.last_event = fresh[0]["id"]
            self.waiting += [each for each in reversed(fresh) if each["type"] in APPLIED_EVENT_TYPES]
        return self.waiting


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
