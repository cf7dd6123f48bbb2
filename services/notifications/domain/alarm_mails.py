"""Notifications about alarms, which go to the operators of the installation."""

from collections.abc import Sequence

from services.notifications.domain.drafts import Draft
from tallystick.messages.monitoring import AlarmEvent


def alarm_drafts(name: str, event: AlarmEvent, operators: Sequence[str]) -> list[Draft]:
    """Return a notification for each operator's address when an alarm is raised."""
    if name != "raised":
        return []
    alarm = event.alarm
    about = f" ({alarm.about})" if alarm.about else ""
    facts = {
        "title": f"{alarm.title}{about}",
        "description": alarm.action,
        "severity": alarm.severity,
        "since": alarm.raised_at.isoformat(),
    }
    return [Draft("alarm", event.event_id, address, None, facts) for address in operators]
