"""Refresh of license files: many machines share one transaction, and each gets its own file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from services.licenses.activation.activate import require_usable
from services.licenses.issuing.license_keys import hash_entered, unknown_key
from services.licenses.rejections import license_not_found
from services.licenses.repository import Activations
from services.licenses.service import service
from services.licenses.signing.license_files import issue_file
from services.licenses.signing.signing_keys import SigningKeyPair, SigningKeys
from services.licenses.snapshots import license_snapshot
from services.licenses.state_changes import emit_license
from services.licenses.tables import ActivationRow, LicenseRow
from shared.errors import Rejected
from shared.persistence.sql_pipeline import BoundStatement, Statement
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import licenses as m

_LICENSE_COLUMNS = [column.name for column in LicenseRow.__table__.columns]
_ACTIVATION_COLUMNS = [column.name for column in ActivationRow.__table__.columns]
# In the order of their ids, so that two groups cannot deadlock.
LOCK_LICENSES = Statement(f"""
    SELECT {", ".join(_LICENSE_COLUMNS)} FROM licenses.licenses
    WHERE key_hash = ANY (ARRAY(SELECT decode(jsonb_array_elements_text($1::jsonb), 'hex')))
        OR license_id = ANY (ARRAY(SELECT jsonb_array_elements_text($2::jsonb)))
    ORDER BY license_id FOR UPDATE
""")  # noqa: S608 - our own column names
FIND_ACTIVATIONS = Statement(f"""
    SELECT {", ".join(_ACTIVATION_COLUMNS)} FROM licenses.activations
    WHERE license_id = ANY (ARRAY(SELECT jsonb_array_elements_text($1::jsonb)))
    ORDER BY activated_at, instance_id
""")  # noqa: S608
FIND_SIGNING_KEY = Statement("SELECT kid FROM licenses.signing_keys WHERE status = 'active'")
UPDATE_LICENSES = Statement("""
    UPDATE licenses.licenses SET version = new.version, file_sequence = new.file_sequence
    FROM jsonb_to_recordset($1::jsonb) AS new (license_id text, version bigint, file_sequence bigint)
    WHERE licenses.license_id = new.license_id
""")
UPDATE_ACTIVATIONS = Statement("""
    UPDATE licenses.activations SET refreshed_at = new.refreshed_at, members = new.members,
        not_after = new.not_after, grace_until = new.grace_until
    FROM jsonb_to_recordset($1::jsonb) AS new (license_id text, instance_id text, refreshed_at timestamptz,
        members bigint, not_after timestamptz, grace_until timestamptz)
    WHERE activations.license_id = new.license_id AND activations.instance_id = new.instance_id
""")


def lock_statements(commands: Sequence[m.RefreshLicense]) -> Sequence[BoundStatement]:
    """Return the statements that lock the licenses of all commands, and find the key that signs."""
    hashes = [key_hash.hex() for key_hash in map(_key_hash, commands) if key_hash is not None]
    ids = [command.license_id for command in commands if command.license_id is not None]
    return [LOCK_LICENSES(orjson.dumps(hashes).decode(), orjson.dumps(ids).decode()), FIND_SIGNING_KEY()]


@service.command(m.RefreshLicense, together=True, reads=lock_statements)
async def refresh_license(
    work: UnitOfWork, commands: Sequence[m.RefreshLicense], keys: SigningKeys
) -> list[bytes | Rejected]:
    """Issue fresh files and store what the machines report; return results as JSON, in order.

    Rejected with `license_key_invalid`, `not_found`, `not_activated`, `license_expired`, `license_suspended`,
    `license_revoked`.
    """
    refreshes = await _load(work, commands, keys)
    files = [refreshes.refresh(work, command) for command in commands]
    refreshes.emit_changes(work)
    refreshes.save(work)
    shown: dict[str, bytes] = {}
    return [file if isinstance(file, Rejected) else refreshes.result(*file, shown) for file in files]


@dataclass(slots=True)
class Refreshes:
    """The licenses of a group of commands, locked, with their activations."""

    pair: SigningKeyPair
    by_key: Mapping[bytes, LicenseRow]
    by_id: Mapping[str, LicenseRow]
    activations: Mapping[str, Activations]
    refreshed: dict[tuple[str, str], ActivationRow] = field(default_factory=dict)
    changed: dict[str, str] = field(default_factory=dict)
    """The licenses whose members changed, with the first command that reported it."""

    def refresh(self, work: UnitOfWork, command: m.RefreshLicense) -> tuple[LicenseRow, str] | Rejected:
        """Issue the file of one command in memory, or return its rejection."""
        try:
            row = self._license(command)
            require_usable(work, row)
            activation = self._activation(row, command.instance_id)
        except Rejected as rejection:
            return rejection
        if command.members is not None and command.members != activation.members:
            activation.members = command.members
            self.changed.setdefault(row.license_id, command.command_id)
        self.refreshed[row.license_id, activation.instance_id] = activation
        return row, issue_file(self.pair, row, activation, work.now)

    def emit_changes(self, work: UnitOfWork) -> None:
        """Emit one event for each license whose members changed."""
        for license_id, command_id in self.changed.items():
            emit_license(work, self.by_id[license_id], self._of(license_id), "changed", caused_by=command_id)

    def save(self, work: UnitOfWork) -> None:
        """Write the rows at the end of the transaction, in two statements."""
        if not self.refreshed:
            return
        licenses = sorted({license_id for license_id, _ in self.refreshed})
        changed = [_fields(self.by_id[one], "license_id", "version", "file_sequence") for one in licenses]
        activations = [
            _fields(row, "license_id", "instance_id", "refreshed_at", "members", "not_after", "grace_until")
            for row in self.refreshed.values()
        ]
        work.deferred.append(UPDATE_LICENSES(orjson.dumps(changed).decode()))
        work.deferred.append(UPDATE_ACTIVATIONS(orjson.dumps(activations).decode()))

    def result(self, row: LicenseRow, file: str, shown: dict[str, bytes]) -> bytes:
        """Encode a result; `shown` holds the snapshots that are encoded already."""
        if row.license_id not in shown:
            snapshot = license_snapshot(row, self._of(row.license_id))
            shown[row.license_id] = snapshot.model_dump_json().encode()
        return b'{"license":%b,"license_file":%b}' % (shown[row.license_id], orjson.dumps(file))

    def _license(self, command: m.RefreshLicense) -> LicenseRow:
        if command.license_id is not None:
            row = self.by_id.get(command.license_id)
            if row is None:
                raise license_not_found(command.license_id)
            return row
        row = self.by_key.get(_key_hash(command) or b"")
        if row is None:
            raise unknown_key(command.license_key or "")
        return row

    def _activation(self, row: LicenseRow, instance_id: str) -> ActivationRow:
        for activation in self._of(row.license_id):
            if activation.instance_id == instance_id:
                return activation
        raise Rejected(
            "not_activated", "The license is not activated on this machine.", {"instance_id": instance_id}
        )

    def _of(self, license_id: str) -> Activations:
        return self.activations.get(license_id, [])


async def _load(work: UnitOfWork, commands: Sequence[m.RefreshLicense], keys: SigningKeys) -> Refreshes:
    found, signing = await work.run(*lock_statements(commands))
    # Neither is added to the session: two statements write what changed.
    licenses = [LicenseRow(**dict(zip(_LICENSE_COLUMNS, row, strict=True))) for row in found.rows]
    ids = orjson.dumps([row.license_id for row in licenses]).decode()
    # After the locks: another transaction may have changed them while this one waited.
    (found,) = await work.run(FIND_ACTIVATIONS(ids))
    activations: dict[str, Activations] = {}
    for values in found.rows:
        activation = ActivationRow(**dict(zip(_ACTIVATION_COLUMNS, values, strict=True)))
        activations.setdefault(activation.license_id, []).append(activation)
    return Refreshes(
        await keys.active(work, signing.rows[0][0] if signing.rows else None),
        by_key={bytes(row.key_hash): row for row in licenses},
        by_id={row.license_id: row for row in licenses},
        activations=activations,
    )


def _key_hash(command: m.RefreshLicense) -> bytes | None:
    return hash_entered(command.license_key) if command.license_key is not None else None


def _fields(row: LicenseRow | ActivationRow, *names: str) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}
