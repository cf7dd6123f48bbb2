"""Invariants of this service's live data, checked by `./dev audit`."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.operations.audit import LiveSystem
from shared.operations.audit_helpers import lasting_violations
from shared.operations.row_versions import RowsMatchLastEvents

SCHEMA = "licenses"


@dataclass(frozen=True, slots=True)
class NoKeyIsStored:
    """No license key is stored in clear text: not in an event, a command or an outcome."""

    name: str = "no license key is kept in clear"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Return the rows with what looks like a key, or with any key in a withheld field."""
        rows = await live.rows(
            SCHEMA,
            """SELECT message_id AS row FROM {schema}.outbox
                WHERE convert_from(payload, 'UTF8') ~* 'TSL-[0-9A-Z]{{8}}-'
                UNION ALL
                SELECT command_id FROM {schema}.inbox
                WHERE body::jsonb ? 'license_key' OR body::text ~* 'TSL-[0-9A-Z]{{8}}-'
                   OR outcome::text ~ '"license_key": ?"(?!withheld")' LIMIT 20""",
        )
        return [f"{row['row']} is kept with a license key" for row in rows]


@dataclass(frozen=True, slots=True)
class LicensesFollowTheirSubscriptions:
    """A license that has not ended is what its subscription, as `subscriptions` has it, says."""

    name: str = "licenses follow their subscriptions"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Return the licenses that differ even after events have had time to arrive."""
        return await lasting_violations(lambda: self._differences(live))

    async def _differences(self, live: LiveSystem) -> list[str]:
        rows = await live.rows(
            SCHEMA,
            """SELECT license_id, licenses.status, current.status AS subscription
                FROM {schema}.licenses JOIN subscriptions.subscriptions AS current USING (subscription_id)
                WHERE (licenses.ended_at IS NULL AND current.status IN ('canceled', 'expired'))
                   OR (licenses.status = 'active'
                       AND (current.status IN ('unpaid', 'paused') OR current.restricted))
                   OR (suspended_by_subscription AND licenses.ended_at IS NULL AND NOT current.restricted
                       AND current.status IN ('active', 'trialing'))
                LIMIT 20""",
        )
        message = "{license_id} is {status}, its subscription is {subscription}"
        return [message.format(**row) for row in rows]


@dataclass(frozen=True, slots=True)
class FilesOutlastNothing:
    """No machine has a file that lasts longer than its license allows."""

    name: str = "files last as long as their license allows"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Return the machines whose last file ends before it was issued, or without a grace that is known."""
        rows = await live.rows(
            SCHEMA,
            """SELECT license_id, instance_id FROM {schema}.activations
                WHERE not_after < refreshed_at OR grace_until < not_after
                   OR not_after > refreshed_at + interval '366 days'
                   OR grace_until > not_after + interval '366 days' LIMIT 20""",
        )
        return [f"{row['license_id']} has a wrong file on {row['instance_id']}" for row in rows]


INVARIANTS = (
    NoKeyIsStored(),
    LicensesFollowTheirSubscriptions(),
    FilesOutlastNothing(),
    RowsMatchLastEvents(SCHEMA, {("license", "licenses"): "license_id"}),
)
