"""Which of a subscription's terms a change concerns; the change follows from it, and so does its preview."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from services.consumables.domain.allotments import Terms
from tallystick.messages.catalog import FeatureKind
from tallystick.messages.subscriptions import SubscriptionItem


class StoredTerms(Protocol):
    """The terms that a subscription has had so far."""

    @property
    def kind(self) -> FeatureKind | str:
        """The feature's kind."""

    @property
    def quantity(self) -> int | None:
        """Units for each account; None: unlimited."""

    @property
    def rollover(self) -> int:
        """The most units that are carried over."""

    @property
    def sold(self) -> bool:
        """Whether the subscription included them."""

    @property
    def offered(self) -> bool:
        """Whether they were granted: sold, and not revoked by an override."""


@dataclass(frozen=True, slots=True)
class TermChange:
    """The slots of a subscription's terms that a change concerns."""

    changed: list[str]
    """Slots with new or other terms."""
    dropped: list[str]
    """Slots that are no longer sold."""
    due: list[str]
    """Slots whose allotments are due because of the change."""


def bought_products(items: Iterable[SubscriptionItem]) -> str:
    """Return the products with their quantities as text; the number of seats is not part of it.

    Seats are granted their units when they are claimed.
    """
    return " ".join(
        sorted(f"{item.product}*{1 if item.seats else item.quantity}" for item in items if item.product)
    )


def offered_slots(terms: Mapping[str, Terms], revoked: Collection[str]) -> set[str]:
    """Return the slots that are granted: all but the customer's own units of revoked features."""
    return {slot for slot, one in terms.items() if one.reach != "own" or one.feature not in revoked}


def term_change(
    before: Mapping[str, StoredTerms],
    new: Mapping[str, Terms],
    offered: Collection[str],
    *,
    has_new_products: bool,
) -> TermChange:
    """Compare the terms of a subscription with those it has had.

    If only the catalog was edited and the subscription is the same, its next cycle uses the new terms, and
    what the edit drops stays until its cycle ends.
    """
    changed = sorted(
        slot
        for slot, terms in new.items()
        if not _is_current(before.get(slot), terms, is_offered=slot in offered)
    )
    dropped = sorted(slot for slot, terms in before.items() if slot not in new and terms.sold)
    due = [
        slot
        for slot in changed
        if has_new_products or new[slot].kind == "limit" or slot not in before or not before[slot].offered
    ]
    return TermChange(changed, dropped, due + dropped if has_new_products else due)


def _is_current(before: StoredTerms | None, terms: Terms, *, is_offered: bool) -> bool:
    if before is None or not before.sold or before.offered != is_offered:
        return False
    return (before.quantity, before.rollover, before.kind) == (terms.quantity, terms.rollover, terms.kind)
