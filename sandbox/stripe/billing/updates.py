"""Emission of one `customer.subscription.updated` for all changes of one action."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sandbox.stripe.account import Account, Json, public

_SNAPSHOT = "_snapshot"


@contextmanager
def updating(account: Account, subscription: Json) -> Iterator[None]:
    """Emit one event for all changes inside when the outermost block ends; none if nothing changed."""
    if _SNAPSHOT in subscription:
        yield
        return
    subscription[_SNAPSHOT] = public(subscription)
    try:
        yield
    except BaseException:
        subscription.pop(_SNAPSHOT, None)
        raise
    before = subscription.pop(_SNAPSHOT)
    previous = difference(before, public(subscription))
    if previous:
        account.emit("customer.subscription.updated", subscription, previous)


def mark_emitted(subscription: Json) -> None:
    """Record that another event has emitted the current state, so that it is not emitted again."""
    if _SNAPSHOT in subscription:
        subscription.pop(_SNAPSHOT)
        subscription[_SNAPSHOT] = public(subscription)


def difference(before: Json, after: Json) -> Json:
    """Return `previous_attributes`: the old values of changed fields.

    For metadata only the changed keys, null for new ones.
    """
    previous = {name: value for name, value in before.items() if after.get(name) != value}
    if "metadata" in previous:
        old, new = before["metadata"], after["metadata"]
        previous["metadata"] = {key: old.get(key) for key in {**old, **new} if old.get(key) != new.get(key)}
    return previous
