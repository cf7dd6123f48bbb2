"""A state machine for the ceiling of a limit, set by plans, overrides and manual grants."""

from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tallystick.messages import consumables as m
from tallystick.messages.base import Command, Customer, Event, Outcome
from tests.support.worlds.grants import Grants, day, gives, item, more, none_of

Run = Callable[[Coroutine[Any, Any, Any]], Any]
PLACES = st.sampled_from([0, 1, 2, 3, 5, 8, 13, None])
"""None: any number."""
QUANTITIES = st.integers(1, 9)
PLANS = ("sub_a", "sub_b")


class CeilingMachine(RuleBasedStateMachine):
    """Operations that move the ceiling of one customer while places are taken and released."""

    examples = 0

    def __init__(self, run: Run, world: Grants) -> None:
        super().__init__()
        self.run, self.world = run, world
        self.plans: dict[str, int | None] = {}
        self.override: list[int | None] = []
        self.is_taken_away = False
        self.by_hand: list[tuple[int | None, datetime | None]] = []
        self.inside = 0
        self.heard: list[Event] = []
        self.customer = Customer(type="user", id="nobody")

    @initialize()
    def begin(self) -> None:
        CeilingMachine.examples += 1
        self.customer = Customer(type="user", id=f"c{CeilingMachine.examples}")
        self.world.at("2026-01-01")

    # -- the model ------------------------------------------------------------------------------------------

    @property
    def room(self) -> int | None:
        """The number of free places; None: unlimited."""
        plans = [] if self.is_taken_away else list(self.plans.values())
        now = self.world.bound.now
        by_hand = [places for places, ends in self.by_hand if ends is None or ends > now]
        parts = [*plans, *self.override, *by_hand]
        if None in parts:
            return None
        return max(0, sum(part for part in parts if part is not None) - self.inside)

    def hear(self, event: Event) -> None:
        self.heard.append(event)
        self.run(self.world.hears(event))

    def send(self, kind: type[Command[Any]], **fields: Any) -> Outcome:
        values = {
            "command_id": f"{self.customer.id}-{next(self.world.numbers)}",
            "feature": "places",
            **fields,
        }
        outcome: Outcome = self.run(
            self.world.bound.handle(kind.model_validate(values), self.world.bound.now)
        )
        return outcome

    # -- what can happen ------------------------------------------------------------------------------------

    @rule(plan=st.sampled_from(PLANS), places=PLACES)
    def subscribe(self, plan: str, places: int | None) -> None:
        """Buy a plan, or change to another."""
        self.plans[plan] = places
        fields: dict[str, Any] = {
            "customer": self.customer,
            "subscription_id": f"{plan}_{self.customer.id}",
            "current_period_start": day("2026-01-01"),
            "current_period_end": day("2027-01-01"),
        }
        bought = item(gives("places", places, kind="limit"), product=f"with_{places}".lower())
        self.hear(self.world.subscription_event(bought, **fields))

    @rule(places=PLACES)
    def give_more(self, places: int | None) -> None:
        self.override, self.is_taken_away = [places], False
        self.hear(self.world.customer_event(more("places", places, kind="limit"), customer=self.customer))

    @rule()
    def take_away(self) -> None:
        self.override, self.is_taken_away = [], True
        self.hear(self.world.customer_event(none_of("places", "limit"), customer=self.customer))

    @rule()
    def end_override(self) -> None:
        self.override, self.is_taken_away = [], False
        self.hear(self.world.customer_event(customer=self.customer))

    @precondition(lambda self: self.heard)
    @rule(place=st.integers(0, 99))
    def hear_again(self, place: int) -> None:
        self.run(self.world.hears(self.heard[place % len(self.heard)]))

    @rule(places=PLACES, days=st.sampled_from([None, 1, 3, 7]))
    def grant(self, places: int | None, days: int | None) -> None:
        if places == 0:
            return
        ends = None if days is None else self.world.bound.now + timedelta(days=days)
        account = f"customer:{self.customer.token}"
        outcome = self.send(m.Grant, account=account, quantity=places, expires_at=ends, reason="?")
        assert outcome.status == "succeeded", outcome.error
        self.by_hand.append((places, ends))

    @rule(days=st.sampled_from([1, 2, 4]), ticks=st.booleans())
    def wait(self, days: int, ticks: bool) -> None:
        self.world.bound.now += timedelta(days=days)
        if ticks:
            self.run(self.world.bound.tick("expire_grants", self.world.bound.now))

    @rule(quantity=QUANTITIES)
    def come(self, quantity: int) -> None:
        room = self.room
        outcome = self.send(m.Consume, consumer=self.customer, quantity=quantity)
        if room is not None and quantity > room:
            assert outcome.error is not None
            assert outcome.error.code in ("insufficient_balance", "no_account")
            return
        assert outcome.result is not None, outcome.error
        self.inside += quantity
        assert outcome.result["remaining"] == self.room

    @rule(quantity=QUANTITIES)
    def leave(self, quantity: int) -> None:
        outcome = self.send(m.Release, consumer=self.customer, quantity=quantity)
        if quantity > self.inside:
            assert outcome.error is not None
            return
        self.inside -= quantity
        assert outcome.result == {"remaining": self.room}

    # -- what always holds ----------------------------------------------------------------------------------

    @invariant()
    def room_agrees(self) -> None:
        question = m.GetBalance(consumer=self.customer, feature="places")
        found = self.run(self.world.bound.handle(question, self.world.bound.now)).result
        assert (found["remaining"], found["consumed"]) == (self.room, self.inside)
