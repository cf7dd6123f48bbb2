"""Balances, locked and written many at a time.

Whoever changes a balance locks its row first, several in the order of account and feature, so that a renewal
and consumptions that need the same ones wait for each other instead of blocking each other for good.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.base import Customer

if TYPE_CHECKING:
    from services.consumables.ledger.bulk_writer import Account

OPEN_ACCOUNTS = """
    INSERT INTO consumables.accounts (account, customer, suspended, created_at)
    SELECT account, customer, false, %s FROM unnest(%s::text[], %s::text[]) AS new (account, customer)
    ORDER BY account ON CONFLICT DO NOTHING
"""
OPEN_BALANCES = """
    INSERT INTO consumables.balances (account, feature, kind)
    SELECT account, feature, kind
    FROM unnest(%s::text[], %s::text[], %s::text[]) AS new (account, feature, kind)
    ORDER BY account, feature ON CONFLICT DO NOTHING
"""
LOCK_BALANCES = """
    SELECT account, feature, kind, customer, version, granted, beyond, consumed, reserved, expired, remaining,
           unlimited, excess, last_granted, threshold
    FROM (
        SELECT balances.* FROM consumables.balances
        JOIN unnest(%s::text[], %s::text[]) AS wanted (account, feature) USING (account, feature)
        ORDER BY account, feature FOR UPDATE OF balances
    ) AS locked JOIN consumables.accounts USING (account)
"""
WRITE_BALANCES = """
    UPDATE consumables.balances AS old
    SET version = new.version, granted = new.granted, beyond = new.beyond, expired = new.expired,
        remaining = new.remaining, unlimited = new.unlimited, excess = new.excess,
        last_granted = new.last_granted
    FROM unnest(
        %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
        %s::bigint[], %s::bigint[], %s::bigint[]
    ) AS new
        (account, feature, version, granted, beyond, expired, remaining, unlimited, excess, last_granted)
    WHERE old.account = new.account AND old.feature = new.feature
"""
_WRITTEN = (
    "account",
    "feature",
    "version",
    "granted",
    "beyond",
    "expired",
    "remaining",
    "unlimited",
    "excess",
    "last_granted",
)


@dataclass(slots=True)
class Standing:
    """A balance, locked."""

    account: str
    feature: str
    kind: str
    customer: str
    version: int
    granted: int
    beyond: int
    consumed: int
    reserved: int
    expired: int
    remaining: int
    unlimited: int
    excess: int
    last_granted: int
    threshold: int | None
    known_version: int = 0
    """Before anything was told of it in this transaction."""

    def __post_init__(self) -> None:
        self.known_version = self.version

    @property
    def key(self) -> str:
        """Its key in the bucket."""
        return f"{self.account.replace(':', '_', 1)}.{self.feature}"

    @property
    def payer(self) -> Customer:
        """Who pays for it."""
        return Customer.from_token(self.customer)


async def lock_standings(
    work: UnitOfWork, keys: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], Standing]:
    """Lock the balances that there are of these accounts and features."""
    return await _lock(work, set(keys))


async def open_standings(work: UnitOfWork, accounts: "Iterable[Account]") -> dict[tuple[str, str], Standing]:
    """Lock balances by account and feature; those that there are not are made."""
    wanted = {(one.account, one.feature): one for one in accounts}
    standings = await _lock(work, wanted)
    missing = [one for key, one in wanted.items() if key not in standings]
    if missing:
        columns = zip(*missing, strict=True)
        names, features, kinds, customers = (list(column) for column in columns)
        await work.driver.execute(OPEN_ACCOUNTS, (work.now, names, customers))
        await work.driver.execute(OPEN_BALANCES, (names, features, kinds))
        # All of them again, so that they are locked in their order.
        standings = await _lock(work, wanted)
    return standings


async def write_standings(work: UnitOfWork, standings: Sequence[Standing]) -> None:
    """Write what was changed of locked balances."""
    if standings:
        columns = [list(map(attrgetter(name), standings)) for name in _WRITTEN]
        await work.driver.execute(WRITE_BALANCES, columns)


async def _lock(work: UnitOfWork, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Standing]:
    accounts = [account for account, _ in keys]
    features = [feature for _, feature in keys]
    cursor = await work.driver.execute(LOCK_BALANCES, (accounts, features))
    return {(row[0], row[1]): Standing(*row) for row in await cursor.fetchall()}
