"""Resources that only the host application knows, such as storage or shops."""

from datetime import UTC, date

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on, insert

from services.monitoring.service import service
from services.monitoring.tables import ResourceRow
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import monitoring as m


@service.command(m.ReportResource)
async def report_resource(work: UnitOfWork, command: m.ReportResource) -> m.ResourceReported:
    """Store a reading, unless a later one of the same day is known; return the newest of that day."""
    at = command.at or work.now
    day = at.astimezone(UTC).date()
    statement = insert(ResourceRow).values(
        resource=command.resource, day=day, value=command.value, unit=command.unit, at=at
    )
    changed = {name: statement.excluded[name] for name in ("value", "unit", "at")}
    await work.session.execute(
        statement.on_conflict_do_update(
            index_elements=["resource", "day"], set_=changed, where=ResourceRow.at <= statement.excluded.at
        )
    )
    row = await work.session.get_one(ResourceRow, (command.resource, day))
    return m.ResourceReported(resource=_reading(row))


async def newest_readings(work: UnitOfWork, day: date) -> dict[str, m.ResourceReading]:
    """Return the newest reading of each resource up to a day, by code."""
    rows = await work.session.scalars(
        sa.select(ResourceRow)
        .where(ResourceRow.day <= day)
        .order_by(ResourceRow.resource, ResourceRow.day.desc())
        .ext(distinct_on(ResourceRow.resource))
    )
    return {row.resource: _reading(row) for row in rows}


def _reading(row: ResourceRow) -> m.ResourceReading:
    return m.ResourceReading(resource=row.resource, value=row.value, unit=row.unit, at=row.at)
