"""License keys: derived from a secret, stored as hashes, and shown in results without being stored there.

A handler returns `WITHHELD` in place of the key, and the inbox stores that. The key is inserted into each
reply to the caller, also when the command is repeated.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

from services.licenses.rejections import license_key_invalid
from services.licenses.tables import LicenseRow
from shared.errors import Rejected
from tallystick.licensing import KEY_BYTES, LicenseKeyError, format_key, normalize_key
from tallystick.messages.base import Command, Outcome

WITHHELD = "withheld"
SECRET_MIN_CHARACTERS = 32
HINT_CHARACTERS = 6
"""Of 33: enough to tell a customer's keys apart, and 130 bits stay secret."""
_PURPOSE = b"tallystick license key\x00"
"""Domain separation, in case the same secret is used for something else."""


@dataclass(frozen=True, slots=True)
class LicenseKeys:
    """Derives license keys from the setting `LICENSE_KEY_SECRET`."""

    secret: bytes

    @classmethod
    def of(cls, setting: str | None) -> "LicenseKeys":
        """Create from the setting; raise ValueError if it is missing or too short."""
        if setting is None or len(setting) < SECRET_MIN_CHARACTERS:
            raise ValueError(f"LICENSE_KEY_SECRET must have {SECRET_MIN_CHARACTERS} characters or more")
        return cls(setting.encode())

    def key_of(self, license_id: str, number: int) -> str:
        """Derive a license's key; `number` counts its keys from 1."""
        derived = hmac.new(self.secret, _PURPOSE + f"{license_id}\x00{number}".encode(), "sha256")
        return format_key(derived.digest()[:KEY_BYTES])

    def assign(self, row: LicenseRow, number: int) -> None:
        """Give a license its key of this number; only the hash and a hint are written."""
        key = self.key_of(row.license_id, number)
        row.key_number = number
        row.key_hash = hash_key(key)
        row.key_hint = hint_of(key)


def hash_key(key: str) -> bytes:
    """Return the hash under which a key is stored; a key has 160 bits, so that a fast hash is enough."""
    return hashlib.sha256(key.encode()).digest()


def hint_of(key: str) -> str:
    """Return the last characters of a key, by which people tell keys apart."""
    return key.replace("-", "")[-HINT_CHARACTERS:]


def hash_entered(entered: str) -> bytes:
    """Return the hash to look for; a mistyped key has one as well, so that the search takes as long."""
    try:
        return hash_key(normalize_key(entered))
    except LicenseKeyError:
        return hash_key(f"mistyped {entered}")


def unknown_key(entered: str) -> Rejected:
    """Build the rejection of a key that no license has."""
    try:
        normalize_key(entered)
    except LicenseKeyError:
        return license_key_invalid("mistyped")
    return license_key_invalid("unknown")


def reveal_key(command: Command[Any], outcome: Outcome, keys: LicenseKeys) -> Outcome:
    """Insert the license key into the outcome of a command that shows one."""
    result = outcome.result
    if result is None or result.get("license_key") != WITHHELD:
        return outcome
    shown: Any = result["license"]
    key = keys.key_of(shown["license_id"], shown["key_number"])
    if hint_of(key) != shown["key_hint"]:
        return outcome  # the secret was another one when the command was carried out
    return outcome.model_copy(update={"result": {**result, "license_key": key}})
