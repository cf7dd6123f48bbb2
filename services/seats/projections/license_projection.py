"""Projection of licenses: what their machines report to be in use counts in the team of the subscription."""

from collections.abc import Sequence

import sqlalchemy as sa

from services.seats.service import service
from services.seats.state_changes import emit_team
from services.seats.tables import KnownLicense, TeamRow
from shared.messaging.feed_consumer import keep_newest_of
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.licenses import LicenseEvent, LicenseSnapshot

LOCK_LICENSES = """
    SELECT pg_advisory_xact_lock(hashtext('seats.licenses'), hashtext(subscription_id))
    FROM unnest(%s::text[]) AS subscription_id
"""


@service.event(LicenseEvent, name="follow_licenses", together=True)
async def follow_licenses(work: UnitOfWork, events: Sequence[LicenseEvent]) -> None:
    """Store the members that machines report, and count them in the teams of their subscriptions."""
    followed = [event for event in events if event.license.subscription_id is not None]
    await lock_licenses(work, [str(event.license.subscription_id) for event in followed])
    news = await keep_newest_of(work, KnownLicense, [_known_license(event.license) for event in followed])
    causes = {str(event.license.subscription_id): event.caused_by for event in followed}
    changed = {row["subscription_id"] for row in news}
    if not changed:
        return
    members = await count_members(work, changed)
    teams = sa.select(TeamRow).where(TeamRow.subscription_id.in_(changed), ~TeamRow.closing)
    locked = teams.order_by(TeamRow.team_id).with_for_update().execution_options(populate_existing=True)
    for team in await work.session.scalars(locked):
        reported = members.get(team.subscription_id, 0)
        if reported != team.members_reported:
            team.members_reported = reported
            emit_team(work, team, "changed", caused_by=causes[team.subscription_id])


async def lock_licenses(work: UnitOfWork, subscription_ids: Sequence[str]) -> None:
    """Serialize opening a team and projecting its license, so that each sees the result of the other."""
    await work.driver.execute(LOCK_LICENSES, (sorted(set(subscription_ids)),))


async def count_members(work: UnitOfWork, subscription_ids: set[str]) -> dict[str, int]:
    """Add up the members that the licenses of subscriptions report; the caller has locked them."""
    found = await work.session.execute(
        sa.select(KnownLicense.subscription_id, sa.func.sum(KnownLicense.members))
        .where(KnownLicense.subscription_id.in_(subscription_ids))
        .group_by(KnownLicense.subscription_id)
    )
    return {subscription_id: int(members) for subscription_id, members in found.all()}


def _known_license(snapshot: LicenseSnapshot) -> dict[str, object]:
    reported = sum(activation.members or 0 for activation in snapshot.activations)
    return {
        "license_id": snapshot.license_id,
        "version": snapshot.version,
        "subscription_id": snapshot.subscription_id,
        "members": reported if snapshot.ended_at is None else 0,
    }
