"""Signing secrets of endpoints: made once, shown once, and stored encrypted."""

import base64
import hmac
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tallystick.messages.base import Command, Outcome

WITHHELD = "withheld"
"""What the inbox stores in place of a secret."""
PREFIX = "whsec_"
_ENCRYPTION = b"tallystick endpoint secrets"
_SIGNING = b"tallystick endpoint secret\x00"
CACHED_SECRETS_MAX = 2_000


class SigningSecrets:
    """Makes signing secrets and encrypts them with a key of the installation (`NOTIFICATIONS_SECRET`)."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        """The first of the installation's secrets encrypts; all decrypt."""
        self._secret = secrets[0]
        self._box = MultiFernet([Fernet(_encryption_key(one)) for one in secrets])
        self.decrypt: Callable[[bytes], str] = lru_cache(CACHED_SECRETS_MAX)(self._decrypt)
        """Decrypts a secret from the table; raises ValueError if its key is not among the settings."""

    def make(self, endpoint_id: str, command_id: str) -> str:
        """Make the secret that a command gives to an endpoint.

        It is derived, so that a repeated command shows the same one, though it is stored nowhere in clear.
        """
        purpose = _SIGNING + endpoint_id.encode() + b"\x00" + command_id.encode()
        return PREFIX + base64.b64encode(hmac.new(self._secret, purpose, "sha256").digest()).decode()

    def encrypt(self, secret: str) -> bytes:
        """Encrypt a secret for the table."""
        return self._box.encrypt(secret.encode())

    def _decrypt(self, stored: bytes) -> str:
        try:
            return self._box.decrypt(stored).decode()
        except InvalidToken:
            raise ValueError("the secret was encrypted with a key that NOTIFICATIONS_SECRET lacks") from None


def reveal_secret(command: Command[Any], outcome: Outcome, signing_secrets: SigningSecrets) -> Outcome:
    """Insert the secret into the outcome of a command that made one."""
    result = outcome.result
    if result is None or result.get("secret") != WITHHELD:
        return outcome
    endpoint: Any = result["endpoint"]
    secret = signing_secrets.make(endpoint["endpoint_id"], command.command_id)
    return outcome.model_copy(update={"result": {**result, "secret": secret}})


def _encryption_key(secret: bytes) -> bytes:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=_ENCRYPTION).derive(secret)
    return base64.urlsafe_b64encode(derived)
