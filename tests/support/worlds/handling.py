"""What the worlds of several services have in common: a clock, command ids, and messages that are handled."""

from datetime import datetime, timedelta
from typing import Any

from tallystick.messages import subscriptions as s
from tallystick.messages.base import Command, Question
from tests.support.runtime import Bound


class Handling:
    """A service on a database, at a time that a test moves."""

    bound: Bound
    now: datetime
    _commands: int

    def command_id(self) -> str:
        """Return a fresh command id."""
        self._commands += 1
        return f"command-{self._commands}"

    def passes(self, **time: float) -> None:
        """Advance the time."""
        self.now += timedelta(**time)

    async def does(self, command: Command[Any]) -> dict[str, Any]:
        """Handle a command that must succeed and return its result."""
        outcome = await self.bound.handle(command, self.now)
        assert outcome.status == "succeeded", outcome.error
        assert outcome.result is not None
        return outcome.result

    async def refuses(self, message: Command[Any] | Question[Any]) -> tuple[str, Any]:
        """Handle a message that must be rejected and return code and details."""
        outcome = await self.bound.handle(message, self.now)
        assert outcome.status == "rejected", outcome
        assert outcome.error is not None
        return outcome.error.code, outcome.error.details

    async def asks(self, question: Question[Any]) -> dict[str, Any]:
        """The answer to a question that has one."""
        outcome = await self.bound.handle(question, self.now)
        assert outcome.status == "succeeded", outcome.error
        assert outcome.result is not None
        return outcome.result


class FollowingSubscriptions(Handling):
    """A service that follows subscriptions, and the last event of each."""

    told: dict[str, s.SubscriptionSnapshot]

    async def hears(self, told: s.SubscriptionSnapshot, event: str = "changed") -> None:
        """Deliver an event of a subscription, old or new."""
        self.told[told.subscription_id] = told
        self.bound.now = self.now
        await self.bound.hears(
            s.SubscriptionEvent(
                event_id=f"evt_{told.subscription_id}_{told.version}",
                occurred_at=self.now,
                version=told.version,
                caused_by=f"cause-{told.version}",
                customer=told.customer,
                subscription=told,
            ),
            event,
        )
