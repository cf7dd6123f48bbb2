"""The part of a preview about units, which `consumables` computes from what accounts have and used."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from pydantic import BaseModel

from services.subscriptions.domain.billing_periods import period_containing
from services.subscriptions.domain.catalog.catalog_view import CatalogView
from services.subscriptions.domain.plan_changes import PlanChange
from services.subscriptions.domain.self_managed_changes import apply_change_now
from services.subscriptions.domain.subscription_state import State
from services.subscriptions.snapshots import state_from_row
from services.subscriptions.tables.subscriptions import SubscriptionRow
from shared.errors import Rejected, Unavailable
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer, Request
from tallystick.messages.consumables import PlannedItem, PlannedPeriod, PreviewUnits

UNITS_TIMEOUT_SECONDS = 2.0
"""How long a preview waits for `consumables`; its prices are answered without units rather than later."""

Result = TypeVar("Result", bound=BaseModel)


class Client(Protocol):
    """Asks another service a question."""

    async def ask(self, message: Request[Result], *, timeout_seconds: float) -> Result:
        """Return the answer; raises Rejected and Unavailable."""


class UnitsPreviews:
    """Asks `consumables` what a change does to units. Without a client, nobody knows."""

    def __init__(self, client: Client | None = None) -> None:
        self._client = client

    async def of_change(
        self,
        row: SubscriptionRow,
        catalog: CatalogView,
        change: PlanChange,
        lines: Sequence[m.InvoiceLine],
        at: datetime,
    ) -> list[m.UnitsChange] | None:
        """Return what a change of the plan does; `lines` are those of its invoice. None: not known."""
        if change.how not in ("now", "period_end"):
            return []
        state = state_from_row(row)
        return await self._ask(
            PreviewUnits(
                customer=Customer.from_token(row.customer),
                subscription_id=row.subscription_id,
                version=row.version,
                items=[_planned(item) for item in apply_change_now(state, catalog, change, at).items],
                when=change.how,
                period=_new_period(state, change, lines, at),
            )
        )

    async def of_new(self, customer: Customer, item: m.SubscriptionItem) -> list[m.UnitsChange] | None:
        """Return what a new subscription to an item gives; None: not known."""
        return await self._ask(PreviewUnits(customer=customer, subscription_id=None, items=[_planned(item)]))

    async def _ask(self, question: PreviewUnits) -> list[m.UnitsChange] | None:
        if self._client is None:
            return None
        try:
            return (await self._client.ask(question, timeout_seconds=UNITS_TIMEOUT_SECONDS)).units
        except (Rejected, Unavailable):
            return None


def _planned(item: m.SubscriptionItem) -> PlannedItem:
    return PlannedItem.model_validate(item.model_dump(include=set(PlannedItem.model_fields)))


def _new_period(
    state: State, change: PlanChange, lines: Sequence[m.InvoiceLine], at: datetime
) -> PlannedPeriod | None:
    """Return the period that a change now begins; Stripe's clock decides where there is an invoice of it."""
    if change.how != "now" or not change.is_restart or state.status == "trialing":
        return None
    charged = (line.period for line in lines if not line.proration and line.price == change.price_code)
    start, end = period_containing(at, change.every, at)
    period = next(charged, m.Span(start=start, end=end))
    return PlannedPeriod(start=period.start, end=period.end)
