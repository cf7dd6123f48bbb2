"""Allotments as they are loaded and updated: the units that accounts are entitled to under their terms."""

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
"""The key of the last allotment of a batch: `next_at`, subscription, account and slot."""
START: Position = (datetime(1970, 1, 1, tzinfo=UTC), "", "", "")
"""The position before all allotments."""


class Allotment(NamedTuple):
    """An allotment with its terms and the projection of its subscription."""

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
    sold: bool
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
        """The allotment's position in the order of granting."""
        return (self.next_at, self.subscription_id, self.account, self.slot)

    @property
    def cycle_quantity(self) -> int | None:
        """The units that the account is entitled to in a cycle; None: unlimited."""
        return multiplied(self.quantity, self.multiplier) if self.offered else 0

    @property
    def takes_back(self) -> bool:
        """Whether a decrease takes units back: one of the purchase does, one by an override does not."""
        is_overridden = self.sold and not self.offered
        return not is_overridden and not self.subscription_id.startswith(PREFIX)

    @property
    def balance(self) -> Account:
        """The balance that receives the units."""
        return Account(self.account, self.feature, self.kind, self.customer)


@dataclass(frozen=True, slots=True)
class AllotmentUpdate:
    """The new values of an allotment's row."""

    cycle: Cycle | None
    granted: int | None
    grant_ids: Sequence[str]
    next_at: datetime | None
    closed: bool = False


def previously_granted(row: Allotment) -> Granted | None:
    """Return what was granted in the latest cycle, or None if nothing was granted yet."""
    if row.cycle_number is None or row.cycle_start is None:
        return None
    return Granted(Cycle(row.cycle_number, row.cycle_start, None), row.granted)


def grant_source(row: Allotment, kind: str = "subscription") -> dict[str, Any]:
    """Return the source of an allotment's grants as in messages."""
    if row.subscription_id.startswith(PREFIX):
        return GrantSource(kind="manual", reason=REASON).model_dump(mode="json")
    return {
        "kind": kind,
        "subscription_id": row.subscription_id,
        "product": row.product,
        "recharge_id": None,
        "reason": None,
    }


def grant_key(row: Allotment, cycle: Cycle, number: int) -> str:
    """Return the unique key of an allotment's grant with this number in a cycle."""
    start = "once" if cycle == ONCE else cycle.start.strftime("%Y-%m-%dT%H:%M:%S.%f")
    return f"{row.subscription_id}/{row.slot}/{row.account}/{start}/{number}"
