"""Change of a license's seats, through its subscription where it has one.

After a crash the caller or the sweep runs the command again; it sends `subscriptions` the same command id and
gets the same answer.
"""

import hashlib
from dataclasses import dataclass
from functools import partial

from pydantic import BaseModel, ConfigDict

from services.licenses.domain.places import is_enough
from services.licenses.issuing.license_keys import LicenseKeys
from services.licenses.projections.subscription_projection import project_subscription, update_license
from services.licenses.rejections import require_running, seats_in_use
from services.licenses.repository import load_activations, lock_license, reported_members
from services.licenses.service import service
from services.licenses.snapshots import license_snapshot
from services.licenses.state_changes import emit_license
from services.licenses.tables import LicenseRow
from shared.messaging.external_command import ExternalCommandSteps
from shared.messaging.service_client import ServiceClient
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import licenses as m
from tallystick.messages import subscriptions as s


class SeatsIntent(BaseModel):
    """The subscription to change; None for a license by hand."""

    model_config = ConfigDict(frozen=True)

    subscription_id: str | None


@dataclass(frozen=True, slots=True)
class SeatsChange:
    """One change of a license's seats."""

    steps: ExternalCommandSteps
    command: m.ChangeLicenseSeats
    client: ServiceClient
    keys: LicenseKeys

    async def run(self) -> m.LicenseFound:
        """Check the members in use, change the subscription, and record the result.

        Raises Rejected `not_found`, `license_ended`, `seats_in_use`, and with the rejection of the
        subscription; Unavailable if the subscription does not answer.
        """
        intent = await self.steps.intend(self._plan, SeatsIntent)
        if intent.subscription_id is None:
            return await self.steps.record(self._record_by_hand)
        changed = await self.client.ask(
            s.ChangeQuantity(
                command_id=_subscription_command_id(self.command.command_id),
                requested_by=f"licenses: {self.command.command_id}"[:200],
                subscription_id=intent.subscription_id,
                quantity=self.command.seats,
                when=self.command.when,
                proration=self.command.proration,
            )
        )
        return await self.steps.record(partial(self._record_change, changed.subscription))

    async def _plan(self, work: UnitOfWork) -> SeatsIntent:
        row, activations = await lock_license(work, self.command.license_id)
        require_running(row)
        members = reported_members(activations)
        if not is_enough(self.command.seats, members=members, current=row.seats):
            raise seats_in_use(members, self.command.seats)
        return SeatsIntent(subscription_id=row.subscription_id)

    async def _record_change(self, subscription: s.SubscriptionSnapshot, work: UnitOfWork) -> m.LicenseFound:
        # Lock in the same order as the feed consumer: the known subscription first, then the license.
        if await project_subscription(work, subscription):
            await update_license(work, subscription, self.keys)
        await work.flush()
        row = await work.session.get_one(LicenseRow, self.command.license_id)
        activations = await load_activations(work.session, [row.license_id])
        return m.LicenseFound(license=license_snapshot(row, activations.get(row.license_id, [])))

    async def _record_by_hand(self, work: UnitOfWork) -> m.LicenseFound:
        row, activations = await lock_license(work, self.command.license_id)
        if row.ended_at is not None or row.seats == self.command.seats:
            return m.LicenseFound(license=license_snapshot(row, activations))
        row.seats = self.command.seats
        return m.LicenseFound(license=emit_license(work, row, activations, "changed"))


@service.external_command(m.ChangeLicenseSeats)
async def change_license_seats(
    steps: ExternalCommandSteps, command: m.ChangeLicenseSeats, client: ServiceClient, keys: LicenseKeys
) -> m.LicenseFound:
    """Change the number of seats; raises as `SeatsChange.run`."""
    return await SeatsChange(steps, command, client, keys).run()


def _subscription_command_id(command_id: str) -> str:
    """Return the id of the command to the subscription: the same on every run, and of limited length."""
    return f"licenses.{hashlib.sha256(command_id.encode()).hexdigest()[:32]}"
