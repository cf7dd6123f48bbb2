"""Refreshing entitlements: compute them, and write and emit what differs. Nothing else writes them.

It works on many customers at once, because a team of thousands can lose or regain its access in one moment.
"""

from collections.abc import Iterable, Mapping, Sequence

import orjson

from services.subscriptions.domain.entitlements import NO_ALLOWANCE, HeldSeat, compute_entitlements
from services.subscriptions.domain.overrides import Override
from services.subscriptions.domain.subscription_state import State
from services.subscriptions.repository.overrides import load_active_overrides
from services.subscriptions.repository.subscriptions import live_states, load_states
from services.subscriptions.snapshots import sources_from, upcoming_from
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer
from tallystick.subjects import ENTITLEMENTS_BUCKET, entitlement_key

HOLDER_PREFIX = "user_"
"""Only users hold seats, so only their entitlements can be refreshed by two transactions at once."""

LOCK = """
    SELECT pg_advisory_xact_lock(hashtextextended('entitlements ' || token, 0))
    FROM unnest(%s::text[]) AS token
"""
STORED = """
    SELECT customer, feature, version, granted, allowed, quantity, sources, expires_at, upcoming
    FROM subscriptions.entitlements WHERE customer = ANY(%s)
"""
HELD = """
    SELECT member, seat_id, multiplier, subscription_id
    FROM subscriptions.known_seats JOIN subscriptions.known_teams USING (team_id)
    WHERE member = ANY(%s) AND claimed AND has_access
"""
WRITE = """
    INSERT INTO subscriptions.entitlements
        (customer, feature, version, granted, allowed, quantity, sources, expires_at, upcoming)
    SELECT customer, feature, version, granted, allowed, quantity, sources::jsonb, expires_at, upcoming::jsonb
    FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bool[], %s::bool[], %s::bigint[], %s::text[],
                %s::timestamptz[], %s::text[])
        AS new (customer, feature, version, granted, allowed, quantity, sources, expires_at, upcoming)
    ON CONFLICT (customer, feature) DO UPDATE
    SET version = excluded.version, granted = excluded.granted, allowed = excluded.allowed,
        quantity = excluded.quantity, sources = excluded.sources, expires_at = excluded.expires_at,
        upcoming = excluded.upcoming
"""

Key = tuple[str, str]
"""A customer's token and a feature's code."""


async def refresh_entitlements(
    work: UnitOfWork, tokens: Iterable[str], *, causes: Mapping[str, str] | None = None
) -> None:
    """Compute these customers' entitlements; emit what differs and write it to the bucket.

    A change of a customer's subscriptions or overrides has locked the customer's row. The holder of a seat
    may have no such row, so an advisory lock serializes the refreshes of users. `causes` gives the
    `caused_by` of a customer's events where it is not that of the transaction.
    """
    customers = sorted(set(tokens))
    await work.flush()
    holders = [token for token in customers if token.startswith(HOLDER_PREFIX)]
    if holders:
        await work.driver.execute(LOCK, (holders,))
    stored = await _stored(work, customers)
    wanted = await compute(work, customers)
    changed = {
        key: (stored[key][0] + 1 if key in stored else 1, wanted.get(key))
        for key in sorted(wanted.keys() | stored.keys())
        if (stored[key][1] if key in stored else None) != wanted.get(key)
    }
    if changed:
        await _write(work, changed)
    for key, (version, allowance) in changed.items():
        _emit(work, key, version, allowance, (causes or {}).get(key[0]))


async def _stored(work: UnitOfWork, tokens: list[str]) -> dict[Key, tuple[int, m.Allowance | None]]:
    """Load the stored versions and allowances; None for an entitlement that is no longer granted."""
    cursor = await work.driver.execute(STORED, (tokens,))
    found: dict[Key, tuple[int, m.Allowance | None]] = {}
    for customer, feature, version, granted, *given in await cursor.fetchall():
        allowed, quantity, sources, expires_at, upcoming = given
        allowance = m.Allowance(
            allowed=allowed,
            quantity=quantity,
            sources=sources_from(sources),
            expires_at=expires_at,
            upcoming=upcoming_from(upcoming),
        )
        found[customer, feature] = (version, allowance if granted else None)
    return found


async def compute(work: UnitOfWork, tokens: list[str]) -> dict[Key, m.Allowance]:
    """Compute what customers may use now, from their subscriptions, overrides and seats."""
    holders = [token for token in tokens if token.startswith(HOLDER_PREFIX)]
    own: dict[str, dict[str, State]] = {token: {} for token in tokens}
    for customer, subscription_id, state in await live_states(work, tokens):
        own[customer][subscription_id] = state
    overrides: Mapping[str, Sequence[Override]] = await load_active_overrides(work, tokens)
    seats = await held_seats(work, holders) if holders else {}
    return {
        (token, feature): allowance
        for token in tokens
        for feature, allowance in compute_entitlements(
            own[token], overrides.get(token, ()), seats.get(token, ())
        ).items()
    }


async def held_seats(work: UnitOfWork, holders: Sequence[str]) -> dict[str, list[HeldSeat]]:
    """Load the seats that grant anything, by member token."""
    found = await (await work.driver.execute(HELD, (holders,))).fetchall()
    behind = {subscription_id for *_, subscription_id in found}
    states = await load_states(work, list(behind)) if found else {}
    seats: dict[str, list[HeldSeat]] = {}
    for member, seat_id, multiplier, subscription_id in found:
        state = states.get(subscription_id)
        if state is not None:
            seats.setdefault(member, []).append(HeldSeat(seat_id, subscription_id, state, multiplier))
    return seats


async def _write(work: UnitOfWork, changed: Mapping[Key, tuple[int, m.Allowance | None]]) -> None:
    rows = [
        (
            customer,
            feature,
            version,
            allowance is not None,
            shown.allowed,
            shown.quantity,
            _json(shown.sources),
            shown.expires_at,
            _json(shown.upcoming),
        )
        for (customer, feature), (version, allowance) in changed.items()
        for shown in [allowance or NO_ALLOWANCE]
    ]
    await work.driver.execute(WRITE, [list(column) for column in zip(*rows, strict=True)])


def _emit(
    work: UnitOfWork, key: Key, version: int, allowance: m.Allowance | None, caused_by: str | None
) -> None:
    token, feature = key
    customer, given = Customer.from_token(token), dict(allowance or NO_ALLOWANCE)
    name = entitlement_key(token, feature)
    snapshot = m.EntitlementSnapshot(
        entitlement_id=name, version=version, customer=customer, feature=feature, **given
    )
    work.emit(
        m.EntitlementEvent,
        "changed",
        customer=customer,
        version=version,
        caused_by=caused_by,
        entitlement=snapshot,
    )
    if allowance is not None:
        work.put(ENTITLEMENTS_BUCKET, name, m.BucketEntry(version=version, **given))
    else:
        work.delete(ENTITLEMENTS_BUCKET, name)


def _json(values: Sequence[m.EntitlementSource | m.UpcomingAllowance]) -> str:
    return orjson.dumps([value.model_dump(mode="json") for value in values]).decode()
