"""Snapshots of grants and balances, as results and events show them."""

from services.consumables.domain.balance import Balance, Grant
from tallystick.messages import consumables as m


def grant_snapshot(grant: Grant, source: m.GrantSource) -> m.GrantSnapshot:
    """Return the snapshot of a grant with its changes in memory."""
    return m.GrantSnapshot(
        grant_id=grant.grant_id,
        version=grant.version + grant.is_changed,
        account=grant.balance.account,
        feature=grant.balance.feature,
        quantity=grant.quantity,
        remaining=_remaining(grant),
        expires_at=grant.expires_at,
        priority=grant.priority,
        source=source,
        revoked=grant.is_revoked,
        created_at=grant.created_at,
    )


def balance_snapshot(balance: Balance) -> m.BalanceSnapshot:
    """Return the snapshot of a balance."""
    return m.BalanceSnapshot(
        consumable_id=balance.key,
        version=max(balance.version, 1),
        account=balance.account,
        feature=balance.feature,
        kind="limit" if balance.kind == "limit" else "consumable",
        granted=None if balance.unlimited else balance.granted + balance.beyond,
        consumed=balance.consumed,
        reserved=balance.reserved,
        expired=balance.expired,
        remaining=None if balance.unlimited else balance.remaining,
    )


def _remaining(grant: Grant) -> int | None:
    if grant.quantity is None:
        return 0 if grant.has_ended else None
    return grant.remaining
