"""One `customer.subscription.updated` for everything that one action changes on a subscription."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sandbox.stripe.account import Account, Json, public

_SNAPSHOT = "_snapshot"


@contextmanager
def updating(account: Account, subscription: Json) -> Iterator[None]:
    """Changes made inside are told by one event when the outermost block ends; none, if nothing differs."""
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


def told(subscription: Json) -> None:
    """Another event has just told the subscription's state: what it told is not to be told again."""
    if _SNAPSHOT in subscription:
        subscription.pop(_SNAPSHOT)
        subscription[_SNAPSHOT] = public(subscription)


def difference(before: Json, after: Json) -> Json:
    """`previous_attributes`: the old values of what differs.

    Of metadata only the keys that do, null for new ones.
    """
    previous = {name: value for name, value in before.items() if after.get(name) != value}
    if "metadata" in previous:
        old, new = before["metadata"], after["metadata"]
        previous["metadata"] = {key: old.get(key) for key in {**old, **new} if old.get(key) != new.get(key)}
    return previous
