"""Signing keys: private keys from the setting, and which of them signs, from the database.

The setting may hold several keys: each is published before it signs, and `rotate_signing_key` makes the next
one the active one, for all replicas at once. Private keys are never stored.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from sqlalchemy.dialects.postgresql import insert

from services.licenses.service import service
from services.licenses.tables import LicenseRow, SigningKeyRow
from shared.errors import Rejected, Unavailable
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.licensing import thumbprint
from tallystick.messages import licenses as m

ROTATION_LOCK = "SELECT pg_advisory_xact_lock(hashtext('licenses.signing_keys'))"
_HEXADECIMAL_SEED = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class SigningKeyPair:
    """An Ed25519 key pair."""

    kid: str
    x: str
    """The public key in base64url."""
    private: Ed25519PrivateKey

    @classmethod
    def of(cls, text: str) -> "SigningKeyPair":
        """Read a private key: 64 hexadecimal digits or a PEM; raise ValueError for anything else."""
        if _HEXADECIMAL_SEED.fullmatch(text):
            private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text))
        else:
            loaded = load_pem_private_key(text.encode(), password=None)
            if not isinstance(loaded, Ed25519PrivateKey):
                raise ValueError("it is not an Ed25519 key")
            private = loaded
        x = base64.urlsafe_b64encode(private.public_key().public_bytes_raw()).decode().rstrip("=")
        return cls(thumbprint(x), x, private)


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The key pairs of the setting `LICENSE_SIGNING_KEY`, in its order, by their ids."""

    pairs: Mapping[str, SigningKeyPair]

    @classmethod
    def of(cls, setting: str | None) -> "SigningKeys":
        """Create from the setting; raise ValueError without saying what it holds."""
        entries = [entry.strip() for entry in (setting or "").split(",") if entry.strip()]
        if not entries:
            raise ValueError("LICENSE_SIGNING_KEY must have an Ed25519 private key")
        try:
            texts = [Path(entry).read_text().strip() if entry.startswith("/") else entry for entry in entries]
            pairs = [SigningKeyPair.of(text) for text in texts]
        except (ValueError, TypeError, OSError):
            # The cause may quote the key.
            raise ValueError(
                "LICENSE_SIGNING_KEY must have 64 hexadecimal digits, a PEM of an Ed25519 key, or its path"
            ) from None
        return cls({pair.kid: pair for pair in pairs})

    async def active(self, work: UnitOfWork, kid: str | None = None) -> SigningKeyPair:
        """Return the key pair that signs now; `kid` is its id if the caller has read it.

        Raises Unavailable if this worker does not have it.
        """
        query = sa.select(SigningKeyRow.kid).where(SigningKeyRow.status == "active")
        kid = kid or await work.session.scalar(query)
        if kid is None:
            await _activate(work, next(iter(self.pairs.values())))
            kid = await work.session.scalar(query)
        pair = self.pairs.get(kid or "")
        if pair is None:
            raise Unavailable(f"LICENSE_SIGNING_KEY of this worker lacks the active key {kid}")
        return pair


@service.question(m.ListSigningKeys)
async def list_signing_keys(
    work: UnitOfWork, question: m.ListSigningKeys, keys: SigningKeys
) -> m.SigningKeys:
    """List the active key, the retired ones, and the setting's keys that have not signed yet."""
    return await _list(work, keys)


@service.command(m.RotateSigningKey)
async def rotate_signing_key(
    work: UnitOfWork, command: m.RotateSigningKey, keys: SigningKeys
) -> m.SigningKeys:
    """Retire the active key and activate the next one; raise Rejected `no_next_signing_key`."""
    await work.driver.execute(ROTATION_LOCK)
    used = set(await work.session.scalars(sa.select(SigningKeyRow.kid)))
    following = [pair for pair in keys.pairs.values() if pair.kid not in used]
    chosen = next((pair for pair in following if command.kid in (None, pair.kid)), None)
    if not used and command.kid is None:
        # Nothing has been signed yet: the first key of the setting has its turn.
        chosen = following[1] if len(following) > 1 else None
    if chosen is None:
        raise Rejected(
            "no_next_signing_key",
            "Add the new key to LICENSE_SIGNING_KEY of every worker first, after the old one.",
            {"kid": command.kid},
        )
    await _retire_active(work)
    await _activate(work, chosen)
    return await _list(work, keys)


async def _retire_active(work: UnitOfWork) -> None:
    longest = await work.session.scalar(
        sa.select(sa.func.max(LicenseRow.offline_days + LicenseRow.grace_days))
    )
    await work.session.execute(
        sa.update(SigningKeyRow)
        .where(SigningKeyRow.status == "active")
        .values(
            status="retired",
            retired_at=work.now,
            expires_at=work.now + timedelta(days=float(longest or 0) + 1),
        )
    )


async def _activate(work: UnitOfWork, pair: SigningKeyPair) -> None:
    values = {"kid": pair.kid, "x": pair.x, "status": "active", "activated_at": work.now}
    await work.session.execute(insert(SigningKeyRow).values(values).on_conflict_do_nothing())


async def _list(work: UnitOfWork, keys: SigningKeys) -> m.SigningKeys:
    query = sa.select(SigningKeyRow).order_by(SigningKeyRow.status, SigningKeyRow.activated_at.desc())
    rows = (await work.session.scalars(query.execution_options(populate_existing=True))).all()
    stored = [
        m.SigningKey(
            kid=row.kid,
            x=row.x,
            status=row.status,  # type: ignore[arg-type] # a constraint of the table
            activated_at=row.activated_at,
            retired_at=row.retired_at,
            expires_at=row.expires_at,
        )
        for row in rows
    ]
    used = {row.kid for row in rows}
    following = [_next_key(pair) for pair in keys.pairs.values() if pair.kid not in used]
    return m.SigningKeys(keys=stored + following)


def _next_key(pair: SigningKeyPair) -> m.SigningKey:
    return m.SigningKey(
        kid=pair.kid, x=pair.x, status="next", activated_at=None, retired_at=None, expires_at=None
    )
