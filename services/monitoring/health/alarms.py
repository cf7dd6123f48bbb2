"""Alarms: checked at every tick, raised once and cleared once."""

from datetime import datetime

import sqlalchemy as sa

from services.monitoring.domain.alarms import Change, changes
from services.monitoring.health.jetstream import JetStreamMonitor
from services.monitoring.health.measurements import measure
from services.monitoring.service import service
from services.monitoring.settings import AlarmRules
from services.monitoring.tables import AlarmRow
from shared.ids import new_id
from shared.messaging.service import tick_cause
from shared.messaging.service_client import ServiceClient
from shared.persistence.unit_of_work import Transactions, UnitOfWork
from tallystick.messages import monitoring as m

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('monitoring check_alarms', 0))"
SEVERITIES = ("critical", "warning", "info")


@service.job("check_alarms")
async def check_alarms(
    transactions: Transactions,
    at: datetime,
    jetstream: JetStreamMonitor,
    client: ServiceClient,
    rules: AlarmRules,
) -> None:
    """Measure everything, and raise or clear the alarms that this changes."""
    async with transactions.read(asked="check_alarms", now=at) as work:
        measured = await measure(work, jetstream, client)
    async with transactions.begin(caused_by=tick_cause("monitoring", "check_alarms", at), now=at) as work:
        await work.driver.execute(LOCK)
        rows = await _raised_rows(work)
        raised = {(row.rule, row.about): row.value for row in rows}
        for change in changes(rules, raised, measured):
            if change.kind == "raise":
                _raise(work, rules, change)
            else:
                _clear(
                    work,
                    next(row for row in rows if (row.rule, row.about) == (change.rule, change.about)),
                    change,
                )


async def load_raised(work: UnitOfWork) -> list[m.Alarm]:
    """Return the alarms that are raised, the most severe and the newest first."""
    alarms = [alarm_of(row) for row in await _raised_rows(work)]
    alarms.sort(key=lambda alarm: alarm.raised_at, reverse=True)
    return sorted(alarms, key=lambda alarm: SEVERITIES.index(alarm.severity))


def alarm_of(row: AlarmRow) -> m.Alarm:
    """Return the message of an alarm."""
    return m.Alarm.model_validate(
        {column.name: getattr(row, column.name) for column in sa.inspect(AlarmRow).columns}
        | {"status": "raised" if row.cleared_at is None else "cleared"},
        strict=False,
    )


async def _raised_rows(work: UnitOfWork) -> list[AlarmRow]:
    found = await work.session.scalars(sa.select(AlarmRow).where(AlarmRow.cleared_at.is_(None)))
    return list(found)


def _raise(work: UnitOfWork, rules: AlarmRules, change: Change) -> None:
    rule = next(rule for rule in rules if rule.name == change.rule)
    row = AlarmRow(
        alarm_id=new_id("alarm"),
        version=1,
        rule=rule.name,
        about=change.about,
        severity=rule.severity,
        value=change.value,
        threshold=rule.at_least,
        title=rule.title,
        action=rule.action,
        raised_at=work.now,
        cleared_at=None,
    )
    work.session.add(row)
    work.emit(m.AlarmEvent, "raised", customer=None, version=1, alarm=alarm_of(row))


def _clear(work: UnitOfWork, row: AlarmRow, change: Change) -> None:
    row.version, row.value, row.cleared_at = row.version + 1, change.value, work.now
    work.emit(m.AlarmEvent, "cleared", customer=None, version=row.version, alarm=alarm_of(row))
