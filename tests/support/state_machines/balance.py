"""A state machine for balances, with a model in which every unit is an object of its own."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tallystick.messages import consumables as m
from tallystick.messages.base import Command, Customer, Outcome
from tests.support.runtime import NOON
from tests.support.worlds.balances import HOURS, MEMBERS, UnitsWorld

NEVER = datetime.max.replace(tzinfo=UTC)
State = Literal["free", "used", "held", "gone"]
Run = Callable[[Coroutine[Any, Any, Any]], Any]
QUANTITIES = st.integers(1, 9)
PLACES = st.integers(0, 50)
OPEN = """
    INSERT INTO consumables.accounts (account, customer, created_at)
    SELECT account, 'user_o{n}', now()
    FROM (VALUES ('customer:user_o{n}'), ('team:team_m{n}'), ('seat:seat_m{n}')) AS new (account);
    INSERT INTO consumables.access (consumer, account)
    VALUES ('user_o{n}', 'team:team_m{n}'), ('user_a{n}', 'team:team_m{n}'), ('user_a{n}', 'seat:seat_m{n}');
"""


@dataclass(eq=False, slots=True)
class Lot:
    """A grant with its units and their places."""

    grant_id: str
    account: str
    expires_at: datetime | None
    priority: int
    created_at: datetime
    units: list[State]
    has_ended: bool = False

    @property
    def order(self) -> tuple[datetime, int, datetime, str]:
        return (self.expires_at or NEVER, self.priority, self.created_at, self.grant_id)


@dataclass(eq=False, slots=True)
class Draw:
    """Units that were taken, by their lot and place, in the order they were taken."""

    consumer: str
    units: list[tuple[Lot, int]]
    ends_at: datetime = NEVER
    is_open: bool = True


@dataclass(slots=True)
class Ceiling:
    """A limit with its used and reserved places."""

    grants: dict[str, tuple[int | None, datetime | None]] = field(default_factory=dict)
    """How many places each gives, or any number, and until when."""
    inside: int = 0
    kept: int = 0

    def available(self, now: datetime) -> int | None:
        """The number of free places; None: unlimited."""
        places = [places for places, ends in self.grants.values() if ends is None or ends > now]
        if None in places:
            return None
        return max(0, sum(count for count in places if count is not None) - self.inside - self.kept)


class Units(RuleBasedStateMachine):
    """Operations on the units of an owner, a team's pool and a seat."""

    examples = 0

    def __init__(self, run: Run, world: UnitsWorld) -> None:
        super().__init__()
        self.run, self.world = run, world
        self.lots: list[Lot] = []
        self.consumptions: dict[str, Draw] = {}
        self.reservations: dict[str, Draw] = {}
        self.sent: list[tuple[Command[Any], Outcome]] = []
        self.ceiling = Ceiling()
        self.reach: dict[str, tuple[str, ...]] = {}

    @initialize()
    def open_accounts(self) -> None:
        Units.examples += 1
        number = Units.examples
        owner, pool, seat = f"customer:user_o{number}", f"team:team_m{number}", f"seat:seat_m{number}"
        self.reach = {f"o{number}": (owner, pool), f"a{number}": (pool, seat)}
        self.accounts = (owner, pool, seat)
        self.world.now = NOON
        self.run(self.world.bound.execute(OPEN.format(n=number)))

    # -- the model ------------------------------------------------------------------------------------------

    def who(self, place: int) -> Customer:
        return Customer(type="user", id=sorted(self.reach)[place % len(self.reach)])

    def lapse(self) -> None:
        """Remove what has expired by now."""
        for lot in self.lots:
            if lot.expires_at is not None and lot.expires_at <= self.world.now:
                lot.has_ended = True
            if lot.has_ended:
                lot.units = ["gone" if state == "free" else state for state in lot.units]

    def free(self, accounts: tuple[str, ...]) -> list[tuple[Lot, int]]:
        """Return every unit that can be drawn from some accounts, in burn order."""
        lots = sorted((lot for lot in self.lots if lot.account in accounts), key=lambda lot: lot.order)
        return [(lot, place) for lot in lots for place, state in enumerate(lot.units) if state == "free"]

    def take(self, wish: m.UnitsRequest, state: State) -> Draw | int:
        """Take units; return how many are available where these are too few."""
        accounts = (wish.account,) if wish.account is not None else self.reach[wish.consumer.id]
        free = self.free(accounts)
        if len(free) < wish.quantity and not (wish.partial and free):
            return len(free)
        taken = free[: wish.quantity]
        for lot, place in taken:
            lot.units[place] = state
        return Draw(wish.consumer.id, taken)

    def put_back(self, units: list[tuple[Lot, int]]) -> None:
        for lot, place in units:
            lot.units[place] = "free"
        self.lapse()

    def send(self, command: Command[Any]) -> Outcome:
        outcome: Outcome = self.run(self.world.outcome(command))
        self.sent.append((command, outcome))
        return outcome

    # -- what can happen ------------------------------------------------------------------------------------

    @rule(
        place=PLACES,
        quantity=QUANTITIES,
        hours=st.sampled_from([None, 1, 5, 24]),
        priority=st.sampled_from([10, 100]),
    )
    def grant(self, place: int, quantity: int, hours: int | None, priority: int) -> None:
        account = self.accounts[place % 3]
        ends = None if hours is None else self.world.now + timedelta(hours=hours)
        grant_id = self.run(self.world.grant(quantity, account, expires_at=ends, priority=priority))
        self.lots.append(Lot(grant_id, account, ends, priority, self.world.now, ["free"] * quantity))

    @precondition(lambda self: self.lots)
    @rule(place=PLACES)
    def revoke(self, place: int) -> None:
        lot = self.lots[place % len(self.lots)]
        command = m.RevokeGrant(command_id=self.world.command_id(), grant_id=lot.grant_id, reason="?")
        assert self.send(command).status == "succeeded"
        lot.has_ended = True
        self.lapse()

    @rule(
        wishes=st.lists(st.tuples(PLACES, QUANTITIES, st.booleans(), st.booleans()), min_size=1, max_size=5)
    )
    def consume(self, wishes: list[tuple[int, int, bool, bool]]) -> None:
        """Consume several times at once; they are decided in the order of arrival."""
        commands = []
        for place, quantity, is_partial, names_account in wishes:
            who = self.who(place)
            account = self.reach[who.id][place % 2] if names_account else None
            commands.append(self.world.consume(quantity, who, partial=is_partial, account=account))

        async def at_once() -> list[Outcome]:
            return list(await asyncio.gather(*(self.world.outcome(command) for command in commands)))

        for command, outcome in zip(commands, self.run(at_once()), strict=True):
            self.sent.append((command, outcome))
            self.check_draw(command, outcome, self.take(command, "used"))

    def check_draw(self, command: m.Consume, outcome: Outcome, taken: Draw | int) -> None:
        if isinstance(taken, int):
            assert outcome.error is not None
            assert (outcome.error.code, outcome.error.details) == (
                "insufficient_balance",
                {"available": taken},
            )
            return
        assert outcome.result is not None
        self.consumptions[command.command_id] = taken
        drawn: list[Any] = []
        for lot, _ in taken.units:
            if drawn and drawn[-1][1] == lot.grant_id:
                drawn[-1][2] += 1
            else:
                drawn.append([lot.account, lot.grant_id, 1])
        told: Any = outcome.result["drawn"]
        assert [[one["account"], one["grant_id"], one["quantity"]] for one in told] == drawn
        accounts = (command.account,) if command.account else self.reach[command.consumer.id]
        if len(self.sent) == 1 or self.sent[-1][0] is command:
            assert outcome.result["remaining"] == len(self.free(accounts))

    @precondition(lambda self: self.sent)
    @rule(place=PLACES)
    def repeat(self, place: int) -> None:
        """Repeat an earlier command, which must have the same outcome."""
        command, first = self.sent[place % len(self.sent)]
        assert self.run(self.world.outcome(command)).to_json() == first.to_json()

    @rule(place=PLACES, quantity=QUANTITIES, ttl_hours=st.sampled_from([1, 3, 24]))
    def reserve(self, place: int, quantity: int, ttl_hours: int) -> None:
        command = m.Reserve(
            command_id=self.world.command_id(),
            consumer=self.who(place),
            feature=HOURS,
            quantity=quantity,
            ttl_seconds=ttl_hours * 3_600,
        )
        outcome = self.send(command)
        held = self.take(command, "held")
        if isinstance(held, int):
            assert outcome.error is not None and outcome.error.details == {"available": held}
            return
        assert outcome.result is not None
        held.ends_at = self.world.now + timedelta(hours=ttl_hours)
        self.reservations[str(outcome.result["reservation_id"])] = held

    @precondition(lambda self: self.reservations)
    @rule(place=PLACES, quantity=st.one_of(st.none(), st.just(0), QUANTITIES), partial=st.booleans())
    def settle(self, place: int, quantity: int | None, partial: bool) -> None:
        reservation_id, held = list(self.reservations.items())[place % len(self.reservations)]
        command = m.CommitReservation(
            command_id=self.world.command_id(),
            reservation_id=reservation_id,
            quantity=quantity,
            partial=partial,
        )
        outcome = self.send(command)
        code = outcome.error.code if outcome.error is not None else None
        if not held.is_open:
            expired = held.ends_at <= self.world.now and not held.units
            assert code == ("reservation_expired" if expired else "reservation_closed")
            return
        quantity = len(held.units) if quantity is None else quantity
        free, more = self.free(self.reach[held.consumer]), max(0, quantity - len(held.units))
        if len(free) < more and not partial:
            assert outcome.error is not None and code == "insufficient_balance"
            assert outcome.error.details == {"available": len(held.units) + len(free)}
            return
        assert code is None
        used, back = held.units[:quantity] + free[:more], held.units[quantity:]
        assert outcome.result is not None and outcome.result["consumed"] == len(used)
        for lot, unit in used:
            lot.units[unit] = "used"
        held.is_open = False
        self.put_back(back)
        if used:
            self.consumptions[command.command_id] = Draw(held.consumer, used)

    @precondition(lambda self: self.consumptions)
    @rule(place=PLACES, quantity=st.one_of(st.none(), QUANTITIES))
    def refund(self, place: int, quantity: int | None) -> None:
        consumption_id, used = list(self.consumptions.items())[place % len(self.consumptions)]
        command = m.RefundConsumption(
            command_id=self.world.command_id(), consumption_id=consumption_id, quantity=quantity
        )
        outcome = self.send(command)
        wanted = len(used.units) if quantity is None else quantity
        if not used.units or wanted > len(used.units):
            assert outcome.error is not None and outcome.error.code == "already_refunded"
            return
        assert outcome.status == "succeeded"
        keep = len(used.units) - wanted
        used.units, back = used.units[:keep], used.units[keep:]
        self.put_back(back)

    @rule(hours=st.sampled_from([1, 2, 6]), ends_grants=st.booleans())
    def wait(self, hours: int, ends_grants: bool) -> None:
        self.world.now += timedelta(hours=hours)
        self.run(self.world.bound.tick("expire_reservations", self.world.now))
        if ends_grants:
            self.run(self.world.bound.tick("expire_grants", self.world.now))
        for held in self.reservations.values():
            if held.is_open and held.ends_at <= self.world.now:
                held.is_open = False
                back, held.units = held.units, []
                self.put_back(back)
        self.lapse()

    @rule(quantity=st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8, 9, None]), hours=st.sampled_from([None, 1, 2, 5]))
    def raise_limit(self, quantity: int | None, hours: int | None) -> None:
        ends = None if hours is None else self.world.now + timedelta(hours=hours)
        grant_id = self.run(self.world.grant(quantity, self.accounts[0], MEMBERS, expires_at=ends))
        self.ceiling.grants[grant_id] = (quantity, ends)

    @precondition(lambda self: self.ceiling.grants)
    @rule(place=PLACES)
    def lower_limit(self, place: int) -> None:
        grant_id = sorted(self.ceiling.grants)[place % len(self.ceiling.grants)]
        command = m.RevokeGrant(command_id=self.world.command_id(), grant_id=grant_id, reason="?")
        assert self.send(command).status == "succeeded"
        del self.ceiling.grants[grant_id]

    @property
    def owner(self) -> Customer:
        return Customer(type="user", id=self.accounts[0].partition("user_")[2])

    def lets_in(self, outcome: Outcome, quantity: int) -> bool:
        """Compare the outcome with whether there is room for this many."""
        available = self.ceiling.available(self.world.now)
        if available is None or quantity <= available:
            left = None if available is None else available - quantity
            assert outcome.result is not None, outcome.error
            assert outcome.result["remaining"] == left
            return True
        assert outcome.error is not None and outcome.error.details == {"available": available}
        return False

    @precondition(lambda self: self.ceiling.grants or self.ceiling.inside)
    @rule(quantity=QUANTITIES)
    def occupy(self, quantity: int) -> None:
        outcome = self.send(self.world.consume(quantity, self.owner, feature=MEMBERS))
        if self.lets_in(outcome, quantity):
            self.ceiling.inside += quantity

    @precondition(lambda self: self.ceiling.grants or self.ceiling.inside)
    @rule(quantity=QUANTITIES)
    def release(self, quantity: int) -> None:
        command = m.Release(
            command_id=self.world.command_id(), consumer=self.owner, feature=MEMBERS, quantity=quantity
        )
        outcome = self.send(command)
        if quantity > self.ceiling.inside:
            assert outcome.error is not None and outcome.error.code == "nothing_to_release"
            return
        self.ceiling.inside -= quantity
        assert outcome.result == {"remaining": self.ceiling.available(self.world.now)}

    @precondition(lambda self: self.ceiling.grants or self.ceiling.inside)
    @rule(quantity=QUANTITIES, used=st.integers(0, 9), hours=st.sampled_from([0, 1, 2]))
    def keep_places(self, quantity: int, used: int, hours: int) -> None:
        """Reserve places and commit some or all of them after some hours."""
        command = m.Reserve(
            command_id=self.world.command_id(),
            consumer=self.owner,
            feature=MEMBERS,
            quantity=quantity,
            ttl_seconds=86_400,
        )
        outcome = self.send(command)
        if not self.lets_in(outcome, quantity):
            return
        assert outcome.result is not None
        self.ceiling.kept += quantity
        if hours:
            self.wait(hours, ends_grants=True)
        come = min(used, quantity)
        reservation_id = str(outcome.result["reservation_id"])
        command_id = self.world.command_id()
        settled = self.send(
            m.CommitReservation(command_id=command_id, reservation_id=reservation_id, quantity=come)
            if come
            else m.ReleaseReservation(command_id=command_id, reservation_id=reservation_id)
        )
        self.ceiling.kept -= quantity
        self.ceiling.inside += come
        assert settled.result is not None, settled.error
        assert settled.result["remaining"] == self.ceiling.available(self.world.now)

    # -- what always holds ----------------------------------------------------------------------------------

    @invariant()
    def balances_agree(self) -> None:
        for consumer, accounts in self.reach.items():
            question = m.GetBalance(consumer=Customer(type="user", id=consumer), feature=HOURS)
            found = self.run(self.world.does(question))
            states = [state for lot in self.lots if lot.account in accounts for state in lot.units]
            assert found["granted"] == len(states)
            assert found["consumed"] == states.count("used")
            assert found["reserved"] == states.count("held")
            assert found["expired"] == states.count("gone")
            assert found["remaining"] == states.count("free")
            assert [one["grant_id"] for one in found["grants"]] == [
                lot.grant_id
                for lot in sorted(self.lots, key=lambda lot: lot.order)
                if lot.account in accounts and "free" in lot.units
            ]

    @invariant()
    def places_agree(self) -> None:
        found = self.run(self.world.does(m.GetBalance(consumer=self.owner, feature=MEMBERS)))
        assert found["remaining"] == self.ceiling.available(self.world.now)
        assert (found["consumed"], found["reserved"]) == (self.ceiling.inside, self.ceiling.kept)
        left = [grant["remaining"] for grant in found["grants"]]
        if found["remaining"] is not None:
            assert found["remaining"] == sum(left)
            elsewhere = sum(found[place] for place in ("consumed", "reserved", "expired"))
            assert found["granted"] == elsewhere + sum(left)
