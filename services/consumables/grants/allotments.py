"""What each account has coming, as it is read and written: the rows behind all granting."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from services.consumables.domain.allotments import Granted, multiplied
from services.consumables.domain.grant_cycles import ONCE, Cycle
from services.consumables.domain.overrides import PREFIX, REASON
from services.consumables.ledger.repository import Account
from tallystick.messages.catalog import Interval
from tallystick.messages.consumables import GrantSource

Position = tuple[datetime, str, str, str]
"""How far settling has come: `next_at`, subscription, account and slot of the last one looked at."""
START: Position = (datetime(1970, 1, 1, tzinfo=UTC), "", "", "")


class Allotment(NamedTuple):
    """What an account has coming, with what is known of the subscription behind it."""

    subscription_id: str
    slot: str
    account: str
    feature: str
    kind: str
    reach: str
    every: Interval | None
    quantity: int | None
    rollover: int
    offered: bool
    multiplier: int
    prorated: bool
    cycle_number: int | None
    cycle_start: datetime | None
    granted: int | None
    grant_ids: list[str]
    next_at: datetime
    customer: str
    product: str | None
    anchor: datetime
    period_start: datetime
    period_end: datetime
    ended_at: datetime | None

    @property
    def position(self) -> Position:
        """Its place in the order of settling."""
        return (self.next_at, self.subscription_id, self.account, self.slot)

    @property
    def wanted(self) -> int | None:
        """What the account is to have in a cycle; None: unlimited."""
        return multiplied(self.quantity, self.multiplier) if self.offered else 0

    @property
    def balance(self) -> Account:
        """The balance it goes to."""
        return Account(self.account, self.feature, self.kind, self.customer)


@dataclass(frozen=True, slots=True)
class After:
    """An allotment as it is to be written."""

    cycle: Cycle | None
    granted: int | None
    grant_ids: Sequence[str]
    next_at: datetime | None
    closed: bool = False


def before_of(row: Allotment) -> Granted | None:
    """What was granted in the latest cycle; None: nothing ever."""
    if row.cycle_number is None or row.cycle_start is None:
        return None
    return Granted(Cycle(row.cycle_number, row.cycle_start, None), row.granted)


def source_of(row: Allotment, kind: str = "subscription") -> dict[str, Any]:
    """Where a grant comes from, as it is told."""
    if row.subscription_id.startswith(PREFIX):
        return GrantSource(kind="manual", reason=REASON).model_dump(mode="json")
    return {
        "kind": kind,
        "subscription_id": row.subscription_id,
        "product": row.product,
        "recharge_id": None,
        "reason": None,
    }


def key_of(row: Allotment, cycle: Cycle, number: int) -> str:
    """Says what a grant is for: which of those an account got under which terms in which cycle."""
    start = "once" if cycle == ONCE else cycle.start.strftime("%Y-%m-%dT%H:%M:%S.%f")
    return f"{row.subscription_id}/{row.slot}/{row.account}/{start}/{number}"
