"""The queue of notifications: rows that are written before anything is sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.dialects.postgresql import insert

from services.notifications.clock import Clock
from services.notifications.domain.drafts import Draft, is_stale, message_id
from services.notifications.snapshots import emit_notification
from services.notifications.tables import NotificationRow
from shared.ids import new_id
from shared.persistence.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class MailQueue:
    """Writes notifications, each kind, cause and recipient once."""

    clock: Clock
    domain: str
    """Domain of the sender, for `Message-ID`."""
    kinds_off: frozenset[str] = frozenset()
    """Kinds that this installation does not send."""
    operators: tuple[str, ...] = ()
    """Addresses that get alarms."""
    can_send: bool = True
    """Whether there is a mail server at all."""

    async def add(
        self, work: UnitOfWork, drafts: Sequence[Draft], *, happened_at: datetime, is_forced: bool = False
    ) -> list[NotificationRow]:
        """Write notifications that are not there yet, and return them.

        One about what happened too long ago is written as suppressed, so that it is never sent.
        """
        wanted = [one for one in drafts if self.can_send and one.kind not in self.kinds_off]
        if not wanted:
            return []
        now = self.clock.now()
        stale = is_stale(happened_at, now)
        statement = (
            insert(NotificationRow)
            .values([self._values(one, happened_at, now, stale=stale, is_forced=is_forced) for one in wanted])
            .on_conflict_do_nothing(index_elements=["cause", "kind", "recipient"])
            .returning(NotificationRow)
        )
        rows = list((await work.session.scalars(statement)).all())
        for row in rows:
            if stale:
                row.version += 1
                emit_notification(work, row, "suppressed")
        return rows

    def _values(
        self, draft: Draft, happened_at: datetime, now: datetime, *, stale: bool, is_forced: bool
    ) -> dict[str, Any]:
        return {
            "notification_id": new_id("ntf"),
            "version": 0,
            "kind": draft.kind,
            "cause": draft.cause,
            "recipient": draft.recipient,
            "customer": draft.customer,
            "facts": draft.facts,
            "is_forced": is_forced,
            "status": "suppressed" if stale else "queued",
            "reason": "stale" if stale else None,
            "attempts": 0,
            "message_id": message_id(draft, self.domain),
            "happened_at": happened_at,
            "created_at": now,
            "next_attempt_at": None if stale else now,
        }
