"""Loading a customer's plans and add-ons together, to see when the add-ons end."""

from dataclasses import dataclass
from datetime import datetime

from services.subscriptions.domain.add_on_ends import FollowedEnd, PlanEnd, plan_end
from services.subscriptions.domain.subscription_state import State
from services.subscriptions.repository.add_ons import add_ons_by_subscription, last_plan_end
from services.subscriptions.repository.subscriptions import live_subscriptions
from services.subscriptions.snapshots import state_from_row
from services.subscriptions.tables.add_ons import AddOnRow
from services.subscriptions.tables.subscriptions import SubscriptionRow
from shared.persistence.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class HeldAddOn:
    """A purchased add-on that has not ended, with its subscription."""

    row: AddOnRow
    subscription: SubscriptionRow

    @property
    def state(self) -> State:
        """The state of its subscription."""
        return state_from_row(self.subscription)

    @property
    def followed(self) -> FollowedEnd | None:
        """The plan's end that it was set to."""
        if self.row.plan_end_at is None:
            return None
        return FollowedEnd(self.row.plan_end_at, self.row.own_end_at, bool(self.row.plan_end_credit))


@dataclass(frozen=True, slots=True)
class Holdings:
    """A customer's live plans, by subscription id, and their add-ons."""

    plans: dict[str, State]
    add_ons: list[HeldAddOn]
    last_ended_at: datetime | None
    """When the last plan ended, if none is live."""

    @property
    def plan_end(self) -> PlanEnd:
        """The end of the last plan."""
        return plan_end(self.plans.values(), self.last_ended_at)


async def load_holdings(work: UnitOfWork, token: str) -> Holdings:
    """Load a customer's plans and add-ons: every subscription that is not an add-on's counts as a plan."""
    rows = await live_subscriptions(work.session, token)
    add_ons = await add_ons_by_subscription(work.session, token)
    plans = {row.subscription_id: state_from_row(row) for row in rows if row.subscription_id not in add_ons}
    held = [HeldAddOn(add_ons[row.subscription_id], row) for row in rows if row.subscription_id in add_ons]
    return Holdings(
        plans,
        [each for each in held if each.row.version],
        None if plans else await last_plan_end(work.session, token),
    )
