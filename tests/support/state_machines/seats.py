"""A state machine for seats, with a model that is a dictionary and a few numbers."""

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, Literal

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tallystick.messages import seats as m
from tallystick.messages.base import Command, Customer
from tests.support.state_machines.seat_model import MOST_SEATS, Answer, ModelSeat, Subscriptions
from tests.support.worlds.seats import SeatWorld, team_item, user

WEEK = timedelta(days=7)
EMAILS = st.integers(0, 5).map(lambda number: f"person{number}@example.com")
MEMBERS = st.integers(0, 4).map(str)
QUANTITIES = st.integers(1, MOST_SEATS)
PLACES = st.integers(0, 30)
Run = Callable[[Coroutine[Any, Any, Any]], Any]


class Seats(RuleBasedStateMachine):
    """Operations on a team's seats, and events of its subscription."""

    def __init__(self, run: Run, world: SeatWorld, subscriptions: Subscriptions) -> None:
        super().__init__()
        self.run, self.world, self.subscriptions = run, world, subscriptions
        self.seats: dict[str, ModelSeat] = {}
        self.dead: list[str] = ["invented"]
        self.quantity = 3
        self.scheduled: int | None = None
        self.changing: tuple[m.ChangeSeatCount, int] | None = None
        self.is_suspended = self.is_closed = False
        self.subscription = self.team_id = ""

    # -- the model ------------------------------------------------------------------------------------------

    @property
    def held(self) -> dict[str, ModelSeat]:
        """The occupied seats."""
        return {seat_id: seat for seat_id, seat in self.seats.items() if seat.status != "revoked"}

    @property
    def available(self) -> int:
        """The number of seats that can be assigned."""
        changing = self.changing[1] if self.changing else self.quantity
        scheduled = self.quantity if self.scheduled is None else self.scheduled
        return max(0, min(self.quantity, changing, scheduled) - len(self.held))

    def has_seat(self, email: str | None, member: str | None, but: str = "") -> bool:
        """Return whether a member has a seat, other than this one."""
        others = [seat for seat_id, seat in self.held.items() if seat_id != but]
        return any(
            (email is not None and seat.email == email) or (member is not None and seat.member == member)
            for seat in others
        )

    def refusal(self, email: str | None, member: str | None) -> str | None:
        """Return the code with which an assignment is rejected."""
        if self.has_seat(email, member):
            return "seat_already_assigned"
        return "no_seat_available" if self.available == 0 else None

    def given(self, result: dict[str, Any]) -> None:
        """Remember a seat that was assigned."""
        seat = result["seat"]
        member = seat["member"]["id"] if seat["member"] else None
        self.seats[seat["seat_id"]] = ModelSeat(
            seat["email"], member, seat["multiplier"], seat["status"], result["invitation_token"]
        )
        self.seats[seat["seat_id"]].expires_at = self.world.now + WEEK

    def kill(self, seat: ModelSeat) -> None:
        """Mark a seat's token as invalid."""
        if seat.token is not None:
            self.dead.append(seat.token)
        seat.token = seat.expires_at = None

    def some(self, place: int) -> str | None:
        """Return one of all seats so far."""
        return list(self.seats)[place % len(self.seats)] if self.seats else None

    # -- asking the service ---------------------------------------------------------------------------------

    def outcome(self, command: Command[Any], expected: str | None) -> dict[str, Any]:
        """The result of a command that the model expects to be refused with a code, or to succeed."""
        outcome = self.run(self.world.bound.handle(command, self.world.now))
        code = outcome.error.code if outcome.error else None
        assert code == expected, (command, code, expected)
        result: dict[str, Any] = outcome.result or {}
        return result

    def id(self) -> str:
        """A fresh command id."""
        return self.world.command_id()

    def hears(self, event: str, **fields: Any) -> None:
        """The subscription changes."""
        self.run(self.world.tells(event, subscription=self.subscription, **fields))

    # -- what happens ---------------------------------------------------------------------------------------

    @initialize()
    def a_company_buys_three(self) -> None:
        """Each example has a subscription of its own."""
        self.subscription = f"sub_{self.id().replace('-', '')}"
        self.subscriptions.subscription = self.subscription
        customer = Customer(type="organization", id=self.id())
        opened = self.world.subscribed(
            3, customer=customer, subscription=self.subscription, maximum=MOST_SEATS
        )
        self.team_id = self.run(opened)["team_id"]

    @rule(email=st.none() | EMAILS, member=st.none() | MEMBERS, immediate=st.booleans())
    def assign(self, email: str | None, member: str | None, immediate: bool) -> None:
        """Assign a seat."""
        if email is None and member is None:
            return
        command = m.AssignSeat(
            command_id=self.id(),
            team_id=self.team_id,
            email=email,
            member=user(member) if member else None,
            immediate=immediate and member is not None,
        )
        expected = "team_closed" if self.is_closed else self.refusal(email, member)
        result = self.outcome(command, expected)
        if expected is None:
            self.given(result)
            assert self.outcome(command, None) == result

    @rule(emails=st.lists(EMAILS | st.just("nobody"), min_size=1, max_size=5))
    def assign_many(self, emails: list[str]) -> None:
        """Assign several seats in one command."""
        seats = [m.SeatToAssign(email=email) for email in emails]
        command = m.AssignSeats(command_id=self.id(), team_id=self.team_id, seats=seats)
        result = self.outcome(command, "team_closed" if self.is_closed else None)
        codes = {one["index"]: one["code"] for one in result.get("errors", [])}
        assigned = {one["index"]: one for one in result.get("assigned", [])}
        for index, email in enumerate(emails if result else []):
            expected = "invalid_email" if email == "nobody" else self.refusal(email, None)
            assert codes.get(index) == expected, (index, email)
            if expected is None:
                self.given(assigned[index])

    @rule(place=PLACES, member=MEMBERS, email=st.none() | EMAILS)
    def claim(self, place: int, member: str, email: str | None) -> None:
        """Claim a seat with a valid or invalid token."""
        tokens = [seat.token for seat in self.seats.values() if seat.token] + self.dead[-3:]
        token = tokens[place % len(tokens)]
        found = next((item for item in self.held.items() if item[1].token == token), None)
        expected = self.claim_refusal(found, member, email)
        command = m.ClaimSeat(
            command_id=self.id(), token=token, member=user(member), email=email.upper() if email else None
        )
        self.outcome(command, expected)
        if expected is None and found is not None:
            self.kill(found[1])
            found[1].status, found[1].member = "claimed", member

    def claim_refusal(
        self, found: tuple[str, ModelSeat] | None, member: str, email: str | None
    ) -> str | None:
        """Return the code with which a claim is rejected."""
        if found is None:
            return "invitation_invalid"
        seat_id, seat = found
        if seat.expires_at is not None and self.world.now >= seat.expires_at:
            return "invitation_expired" if seat.member == member else "invitation_invalid"
        is_other = seat.member not in (None, member)
        if is_other or (email is not None and seat.email not in (None, email)):
            return "email_mismatch"
        return "seat_already_assigned" if self.has_seat(None, member, seat_id) else None

    @rule(place=PLACES)
    def resend(self, place: int) -> None:
        """Resend an invitation."""
        seat_id = self.some(place)
        if seat_id is None:
            return
        seat = self.seats[seat_id]
        expected = None if seat.status == "pending" else "seat_not_pending"
        result = self.outcome(m.ResendInvitation(command_id=self.id(), seat_id=seat_id), expected)
        if expected is None:
            self.invited(seat, result)

    def invited(self, seat: ModelSeat, result: dict[str, Any]) -> None:
        """Record a new invitation of a seat."""
        self.kill(seat)
        seat.token, seat.expires_at = result["invitation_token"], self.world.now + WEEK

    @rule(place=PLACES)
    def revoke(self, place: int) -> None:
        """Revoke a seat, possibly a second time."""
        seat_id = self.some(place)
        if seat_id is not None:
            self.outcome(m.RevokeSeat(command_id=self.id(), seat_id=seat_id), None)
            self.kill(self.seats[seat_id])
            self.seats[seat_id].status = "revoked"

    @rule(place=PLACES, email=st.none() | EMAILS, member=st.none() | MEMBERS)
    def replace(self, place: int, email: str | None, member: str | None) -> None:
        """Replace the member of a seat."""
        seat_id = self.some(place)
        if seat_id is None or (email is None and member is None):
            return
        seat = self.seats[seat_id]
        is_same = seat.email == email if member is None else seat.member == member
        is_same = is_same and (email is None or seat.email == email)
        expected = None
        if seat.status == "revoked":
            expected = "seat_revoked"
        elif not is_same and self.has_seat(email, member, seat_id):
            expected = "seat_already_assigned"
        command = m.ReplaceSeat(
            command_id=self.id(), seat_id=seat_id, email=email, member=user(member) if member else None
        )
        result = self.outcome(command, expected)
        if expected is not None or is_same:
            assert not result.get("invitation_token")
            return
        seat.email, seat.member = email, member
        if not (seat.status == "claimed" and member is not None):
            seat.status = "pending"
            self.invited(seat, result)

    @rule(place=PLACES, multiplier=st.integers(1, 3))
    def multiply(self, place: int, multiplier: int) -> None:
        """Set the multiplier of a seat."""
        seat_id = self.some(place)
        if seat_id is not None:
            seat = self.seats[seat_id]
            expected = "seat_revoked" if seat.status == "revoked" else None
            command = m.SetSeatMultiplier(command_id=self.id(), seat_id=seat_id, multiplier=multiplier)
            self.outcome(command, expected)
            seat.multiplier = seat.multiplier if expected else multiplier

    @rule(days=st.integers(1, 6), is_ticked=st.booleans())
    def time_passes(self, days: int, is_ticked: bool) -> None:
        """Let days pass, and maybe run the tick that expires invitations."""
        self.world.passes(days=days)
        if is_ticked:
            self.run(self.world.bound.tick("expire_invitations", self.world.now))
            for seat in self.seats.values():
                if seat.expires_at is not None and seat.expires_at <= self.world.now and seat.token:
                    self.dead.append(seat.token)
                    seat.token = None

    @precondition(lambda self: not self.is_closed)
    @rule(quantity=QUANTITIES)
    def count_changes_elsewhere(self, quantity: int) -> None:
        """Change the quantity of the subscription regardless of the occupied seats."""
        self.quantity, self.scheduled = quantity, None
        items = [team_item(quantity, maximum=MOST_SEATS)]
        self.hears("changed", items=items, scheduled_change=None)

    @precondition(lambda self: not self.is_closed)
    @rule()
    def renewed(self) -> None:
        """End the period and apply what was scheduled."""
        self.quantity = self.quantity if self.scheduled is None else self.scheduled
        self.scheduled = None
        items = [team_item(self.quantity, maximum=MOST_SEATS)]
        self.hears("renewed", items=items, scheduled_change=None)

    @precondition(lambda self: not self.is_closed)
    @rule(state=st.sampled_from(["active", "past_due", "restricted", "paused", "unpaid"]))
    def lapses_or_recovers(self, state: str) -> None:
        """Make the subscription unpaid or active again."""
        is_restricted = state == "restricted"
        self.is_suspended = state in ("restricted", "paused", "unpaid")
        self.hears("updated", status="past_due" if is_restricted else state, restricted=is_restricted)

    @rule(back=st.integers(0, 3))
    def an_old_event_comes_again(self, back: int) -> None:
        """Repeat an old event, which must change nothing."""
        told = self.world.told[self.subscription]
        old = told.model_copy(update={"version": max(1, told.version - back), "status": "active"})
        self.run(self.world.hears(old))
        self.world.told[self.subscription] = told

    @rule(
        quantity=st.integers(1, MOST_SEATS + 1),
        when=st.sampled_from([None, "now"]),
        answer=st.sampled_from(["yes", "no", "silence"]),
    )
    def change_count(self, quantity: int, when: Literal["now"] | None, answer: Answer) -> None:
        """Change the number of seats; subscriptions grants, rejects, or does not answer."""
        self.subscriptions.answer = answer
        command = m.ChangeSeatCount(command_id=self.id(), team_id=self.team_id, quantity=quantity, when=when)
        expected = self.count_refusal(quantity)
        is_asked = expected is None and not self.is_so(quantity, when)
        if is_asked:
            expected = {"yes": None, "no": "payment_failed", "silence": "unavailable"}[answer]
        self.outcome(command, expected)
        if is_asked and answer == "silence":
            self.changing = command, quantity
        elif is_asked and answer == "yes":
            self.granted(quantity, when)

    def count_refusal(self, quantity: int) -> str | None:
        """Return the code with which seats itself rejects a number of seats."""
        if self.is_closed:
            return "team_closed"
        if self.changing is not None:
            return "unavailable"
        if quantity > MOST_SEATS:
            return "quantity_out_of_range"
        return "seats_in_use" if quantity < min(len(self.held), self.quantity) else None

    def is_so(self, quantity: int, when: str | None) -> bool:
        """Return whether the team has this many seats, or will have them."""
        if self.scheduled is None:
            return quantity == self.quantity
        return quantity == self.scheduled and when != "now"

    def granted(self, quantity: int, when: str | None) -> None:
        """Apply a change that subscriptions has granted."""
        if when != "now" and quantity < self.quantity:
            self.scheduled = quantity
        else:
            self.quantity, self.scheduled = quantity, None

    @precondition(lambda self: self.changing is not None)
    @rule(answer=st.sampled_from(["yes", "no"]))
    def the_sweep_finishes_the_change(self, answer: Answer) -> None:
        """Run the sweep, which asks again."""
        assert self.changing is not None
        command, quantity = self.changing
        self.subscriptions.answer = "no" if self.is_closed else answer
        self.outcome(command, None if self.subscriptions.answer == "yes" else "payment_failed")
        self.changing = None
        if self.subscriptions.answer == "yes":
            self.granted(quantity, command.when)

    @precondition(lambda self: not self.is_closed and len(self.seats) > 3)
    @rule()
    def ends(self) -> None:
        """End the subscription and with it every seat."""
        self.hears("canceled", status="canceled")
        self.is_closed, self.is_suspended = True, False
        for seat in self.seats.values():
            self.kill(seat)
            seat.status = "revoked"

    # -- what must hold -------------------------------------------------------------------------------------

    @invariant()
    def the_team_is_what_the_model_says(self) -> None:
        """After every step."""
        if not self.team_id:
            return
        team = self.run(self.world.team(team_id=self.team_id))
        change = self.changing[1] if self.changing and not self.is_closed else None
        assert (team["change"] or {"quantity": None})["quantity"] == change
        assert (team["quantity"], team["capacity"]) == (self.quantity, self.quantity + 1)
        assert team["occupied"] == (0 if self.is_closed else len(self.held) + 1)
        assert team["available"] == (0 if self.is_closed else self.available)
        assert team["scheduled_quantity"] == self.scheduled
        assert (team["suspended"], team["status"] == "closed") == (self.is_suspended, self.is_closed)

    @invariant()
    def the_seats_are_what_the_model_says(self) -> None:
        """After every step."""
        if not self.team_id:
            return
        page = self.run(self.world.asks(m.ListSeats(team_id=self.team_id, limit=200)))
        found = {
            seat["seat_id"]: (
                seat["status"],
                seat["email"],
                seat["member"]["id"] if seat["member"] else None,
                seat["multiplier"],
            )
            for seat in page["items"]
        }
        assert found == {
            seat_id: (seat.status, seat.email, seat.member, seat.multiplier)
            for seat_id, seat in self.seats.items()
        }
