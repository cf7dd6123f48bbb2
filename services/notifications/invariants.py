"""Invariants of this service's live data, checked by `./dev audit`."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.operations.audit import LiveSystem
from shared.operations.audit_helpers import lasting_violations
from shared.operations.row_versions import RowsMatchLastEvents

SCHEMA = "notifications"
OVERDUE_MINUTES = 10
"""What is due for this long is sent by nobody: more than a claim and the pause after an outage take."""

_KEYS = {("notification", "notifications"): "notification_id", ("endpoint", "endpoints"): "endpoint_id"}
"""The key column by entity and table; the outbox holds its value as `entity_id`."""


@dataclass(frozen=True, slots=True)
class SentMailsAreComplete:
    """A sent notification has an address, a language and a time; a failed one has a reason."""

    name: str = "sent mails have an address, failed ones a reason"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Return the others."""
        rows = await live.rows(
            SCHEMA,
            """SELECT notification_id, status FROM {schema}.notifications
                WHERE (status = 'sent' AND (email IS NULL OR language IS NULL OR sent_at IS NULL))
                   OR (status = 'failed' AND last_error IS NULL) LIMIT 20""",
        )
        return [f"{row['notification_id']} is {row['status']}, but not complete" for row in rows]


@dataclass(frozen=True, slots=True)
class NothingIsOverdue:
    """What is due is sent or tried again soon."""

    name: str = "no mail and no webhook is long overdue"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Return what is overdue even after a moment."""
        return await lasting_violations(lambda: self._overdue(live))

    async def _overdue(self, live: LiveSystem) -> list[str]:
        rows = await live.rows(
            SCHEMA,
            """SELECT notification_id AS id FROM {schema}.notifications
                WHERE status = 'queued' AND next_attempt_at < now() - make_interval(mins => %s)
                UNION ALL
                SELECT delivery_id FROM {schema}.deliveries JOIN {schema}.endpoints USING (endpoint_id)
                WHERE deliveries.status = 'pending' AND endpoints.status = 'enabled'
                  AND next_attempt_at < now() - make_interval(mins => %s)
                LIMIT 20""",
            OVERDUE_MINUTES,
            OVERDUE_MINUTES,
        )
        return [f"{row['id']} is overdue" for row in rows]


@dataclass(frozen=True, slots=True)
class SecretsAreNotStored:
    """No signing secret is stored in clear: not in an event, a command, an outcome or the table."""

    name: str = "no endpoint's secret is kept in clear"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Return the rows with a secret, and commands that are kept with a link from a mail."""
        rows = await live.rows(
            SCHEMA,
            """SELECT message_id AS id FROM {schema}.outbox
                WHERE convert_from(payload, 'UTF8') ~ 'whsec_[A-Za-z0-9+/]{{40}}'
                UNION ALL
                SELECT command_id FROM {schema}.inbox
                WHERE body::text || coalesce(outcome::text, '') ~ 'whsec_[A-Za-z0-9+/]{{40}}'
                   OR body::jsonb ? 'link'
                UNION ALL
                SELECT endpoint_id FROM {schema}.endpoints WHERE encode(secret, 'escape') LIKE 'whsec%%'
                LIMIT 20""",
        )
        return [f"{row['id']} holds a secret" for row in rows]


INVARIANTS = (
    RowsMatchLastEvents(SCHEMA, _KEYS, forgets_rows=True),
    SentMailsAreComplete(),
    NothingIsOverdue(),
    SecretsAreNotStored(),
)
