"""Accounts with units but without plans, for tests of consumption."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tallystick.messages import consumables as m
from tallystick.messages.base import Command, Customer, Outcome, Question
from tallystick.messages.consumables import ConsumableEvent
from tests.support.runtime import NOON, Bound

ACME = Customer(type="organization", id="acme")
ANN, BOB = Customer(type="user", id="ann"), Customer(type="user", id="bob")
OWN, POOL = "customer:organization_acme", "team:team_1"
SEAT_OF_ANN, SEAT_OF_BOB = "seat:seat_1", "seat:seat_2"
HOURS, MEMBERS = "hours", "members"
SEED = """
    INSERT INTO consumables.known_features (code, version, kind, archived, name)
    VALUES ('hours', 1, 'consumable', false, 'Hours'), ('members', 1, 'limit', false, 'Members'),
           ('reading', 1, 'flag', false, 'Reading');
    INSERT INTO consumables.accounts (account, customer, created_at)
    SELECT account, 'organization_acme', now()
    FROM unnest('{customer:organization_acme, team:team_1, seat:seat_1, seat:seat_2}'::text[]) AS account;
    INSERT INTO consumables.access (consumer, account)
    VALUES ('organization_acme', 'team:team_1'), ('user_ann', 'team:team_1'), ('user_bob', 'team:team_1'),
           ('user_ann', 'seat:seat_1'), ('user_bob', 'seat:seat_2');
"""


@dataclass(slots=True)
class UnitsWorld:
    """An organization, its team's pool, and two seats, Ann's and Bob's; everything happens at noon."""

    bound: Bound
    now: datetime = NOON
    _commands: int = 0
    told: list[tuple[str, ConsumableEvent]] = field(default_factory=list)

    def command_id(self) -> str:
        """Return a fresh command id."""
        self._commands += 1
        return f"command-{self._commands}"

    async def outcome(self, message: Command[Any] | Question[Any]) -> Outcome:
        """Handle a message and return its outcome, which must not be a failure."""
        outcome = await self.bound.handle(message, self.now)
        assert outcome.status != "failed", outcome.error
        return outcome

    async def does(self, message: Command[Any] | Question[Any]) -> dict[str, Any]:
        """Handle a command that must succeed and return its result."""
        outcome = await self.outcome(message)
        assert outcome.status == "succeeded", outcome.error
        assert outcome.result is not None
        return outcome.result

    async def refuses(self, message: Command[Any] | Question[Any]) -> tuple[str, Any]:
        """Handle a command that must be rejected and return code and details."""
        outcome = await self.outcome(message)
        assert outcome.status == "rejected", outcome
        assert outcome.error is not None
        return outcome.error.code, outcome.error.details

    async def grant(
        self, quantity: int | None, account: str = OWN, feature: str = HOURS, **fields: Any
    ) -> str:
        """Grant units and return the grant's id."""
        known = {"account": account, "feature": feature, "quantity": quantity, "reason": "a test"}
        command = m.Grant.model_validate({"command_id": self.command_id(), **known, **fields})
        return str((await self.does(command))["grant"]["grant_id"])

    def consume(self, quantity: int = 1, consumer: Customer = ACME, **fields: Any) -> m.Consume:
        """Return a command that consumes units."""
        known: dict[str, Any] = {"command_id": self.command_id(), "feature": HOURS}
        return m.Consume(consumer=consumer, quantity=quantity, **(known | fields))

    async def uses(self, quantity: int = 1, consumer: Customer = ACME, **fields: Any) -> int | None:
        """Consume units and return what remains."""
        remaining: int | None = (await self.does(self.consume(quantity, consumer, **fields)))["remaining"]
        return remaining

    async def balance(self, account: str = OWN, feature: str = HOURS) -> dict[str, Any]:
        """The row of a balance."""
        [row] = await self.bound.rows(
            "SELECT * FROM consumables.balances WHERE account = %s AND feature = %s", account, feature
        )
        return row

    async def remaining(self, account: str = OWN, feature: str = HOURS) -> int:
        """What remains in an account."""
        return int((await self.balance(account, feature))["remaining"])

    async def entries(self, kind: str, account: str = OWN) -> list[int]:
        """The quantities of one kind of entry in an account, oldest first."""
        rows = await self.bound.rows(
            "SELECT quantity FROM consumables.entries WHERE kind = %s AND account = %s ORDER BY entry_id",
            kind,
            account,
        )
        return [row["quantity"] for row in rows]

    async def events(self) -> list[tuple[str, ConsumableEvent]]:
        """Return name and body of each balance event since the last call."""
        all_of_them = [
            (subject.rpartition(".")[2], ConsumableEvent.model_validate(body, strict=False))
            for subject, body in await self.bound.feed()
            if ".consumable." in subject
        ]
        new = all_of_them[len(self.told) :]
        self.told = all_of_them
        return new

    async def set_up(self) -> None:
        """Deliver the events that create the customers, the team and the seats."""
        await self.bound.execute(SEED)
