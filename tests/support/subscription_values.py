"""Subscription states for tests of the domain, with the features they include."""

from datetime import UTC, datetime

from services.subscriptions.domain.subscription_state import State
from tallystick.messages.catalog import FeatureKind, SeatRule
from tallystick.messages.subscriptions import ItemFeature, Status, SubscriptionItem

FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)


def gives(feature: str, kind: FeatureKind, quantity: int | None = None, *, team: bool = False) -> ItemFeature:
    return ItemFeature(feature=feature, quantity=quantity, every=None, team_allowed=team, kind=kind)


def subscribed(
    *features: ItemFeature,
    product: str = "shop",
    quantity: int = 1,
    seats: SeatRule | None = None,
    status: Status = "active",
) -> State:
    item = SubscriptionItem(
        product=product, price=f"{product}_monthly", quantity=quantity, seats=seats, features=list(features)
    )
    return State(
        status=status,
        collection="automatic",
        items=(item,),
        current_period_start=None,
        current_period_end=FEBRUARY,
    )
