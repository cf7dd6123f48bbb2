"""Refresh of license files: many machines share one transaction, and each gets its own file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import orjson

from services.licenses.activation.activate import require_usable
from services.licenses.domain.licenses import Activation, License
from services.licenses.issuing.license_keys import hash_entered, unknown_key
from services.licenses.rejections import license_not_found
from services.licenses.service import service
from services.licenses.signing.license_files import issue_file
from services.licenses.signing.signing_keys import SigningKeyPair, SigningKeys
from services.licenses.snapshots import license_snapshot
from services.licenses.state_changes import emit_license
from shared.errors import Rejected
from shared.persistence.sql_pipeline import BoundStatement, Statement
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import licenses as m

_LICENSE_COLUMNS = [column.name for column in fields(License)]
_ACTIVATION_COLUMNS = [column.name for column in fields(Activation)]
_PRESENTED = """
    key_hash = ANY (ARRAY(SELECT decode(jsonb_array_elements_text($1::jsonb), 'hex')))
        OR license_id = ANY (ARRAY(SELECT jsonb_array_elements_text($2::jsonb)))
"""
# In the order of their ids, so that two groups cannot deadlock.
LOCK_LICENSES = Statement(f"""
    SELECT {", ".join(_LICENSE_COLUMNS)} FROM licenses.licenses
    WHERE {_PRESENTED} ORDER BY license_id FOR UPDATE
""")  # noqa: S608 - our own column names
# A statement of its own sees what others changed while the one before waited for its locks.
FIND_ACTIVATIONS = Statement(f"""
    SELECT {", ".join(_ACTIVATION_COLUMNS)} FROM licenses.activations
    WHERE license_id = ANY (ARRAY(SELECT license_id FROM licenses.licenses WHERE {_PRESENTED}))
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
    """Return the statements that lock and read all that the commands need, in one round trip."""
    return _lock_statements(commands, _key_hashes(commands))


def _lock_statements(
    commands: Sequence[m.RefreshLicense], hashes: Mapping[str, bytes]
) -> Sequence[BoundStatement]:
    ids = [command.license_id for command in commands if command.license_id is not None]
    wanted = (
        orjson.dumps([key_hash.hex() for key_hash in hashes.values()]).decode(),
        orjson.dumps(ids).decode(),
    )
    return [LOCK_LICENSES(*wanted), FIND_ACTIVATIONS(*wanted), FIND_SIGNING_KEY()]


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
    by_key: Mapping[str, License]
    """By their keys as the machines have them."""
    by_id: Mapping[str, License]
    activations: Mapping[str, list[Activation]]
    refreshed: dict[tuple[str, str], Activation] = field(default_factory=dict)
    changed: dict[str, str] = field(default_factory=dict)
    """The licenses whose members changed, with the first command that reported it."""

    def refresh(self, work: UnitOfWork, command: m.RefreshLicense) -> tuple[License, str] | Rejected:
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

    def result(self, row: License, file: str, shown: dict[str, bytes]) -> bytes:
        """Encode a result; `shown` holds the snapshots that are encoded already."""
        if row.license_id not in shown:
            snapshot = license_snapshot(row, self._of(row.license_id))
            shown[row.license_id] = snapshot.model_dump_json().encode()
        return b'{"license":%b,"license_file":%b}' % (shown[row.license_id], orjson.dumps(file))

    def _license(self, command: m.RefreshLicense) -> License:
        if command.license_id is not None:
            row = self.by_id.get(command.license_id)
            if row is None:
                raise license_not_found(command.license_id)
            return row
        entered = command.license_key or ""
        row = self.by_key.get(entered)
        if row is None:
            raise unknown_key(entered)
        return row

    def _activation(self, row: License, instance_id: str) -> Activation:
        for activation in self._of(row.license_id):
            if activation.instance_id == instance_id:
                return activation
        raise Rejected(
            "not_activated", "The license is not activated on this machine.", {"instance_id": instance_id}
        )

    def _of(self, license_id: str) -> list[Activation]:
        return self.activations.get(license_id, [])


async def _load(work: UnitOfWork, commands: Sequence[m.RefreshLicense], keys: SigningKeys) -> Refreshes:
    hashes = _key_hashes(commands)
    found, there, signing = await work.run(*_lock_statements(commands, hashes))
    licenses = [License(*row) for row in found.rows]
    activations: dict[str, list[Activation]] = {}
    for activation in (Activation(*row) for row in there.rows):
        activations.setdefault(activation.license_id, []).append(activation)
    by_hash = {row.key_hash: row for row in licenses}
    return Refreshes(
        await keys.active(work, signing.rows[0][0] if signing.rows else None),
        by_key={entered: by_hash[hashed] for entered, hashed in hashes.items() if hashed in by_hash},
        by_id={row.license_id: row for row in licenses},
        activations=activations,
    )


def _key_hashes(commands: Sequence[m.RefreshLicense]) -> dict[str, bytes]:
    """Hash the keys of commands, each once."""
    entered = dict.fromkeys(command.license_key for command in commands if command.license_key is not None)
    return {key: hash_entered(key) for key in entered}


def _fields(row: License | Activation, *names: str) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}
