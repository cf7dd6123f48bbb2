"""Keys that sign license files; the private ones are in no message."""

from pydantic import Field

from tallystick.messages.base import Command, Instant, Question, TolerantModel
from tallystick.messages.licenses.types import SERVICE, Kid, SigningKeyStatus


class SigningKey(TolerantModel):
    """Public key of a signing key pair (Ed25519)."""

    kid: Kid
    x: str = Field(description="Public key, 32 bytes in base64url, as in a JWK of type OKP.")
    status: SigningKeyStatus
    activated_at: Instant | None
    retired_at: Instant | None
    expires_at: Instant | None = Field(
        description="Time from which all its files have ended; null: it is not retired."
    )


class SigningKeys(TolerantModel):
    """All signing keys: the active one, those to come, and the retired ones."""

    keys: list[SigningKey]


class ListSigningKeys(Question[SigningKeys], service=SERVICE):
    """List the public keys of all signing keys."""


class RotateSigningKey(Command[SigningKeys], service=SERVICE, rejections=("no_next_signing_key",)):
    """Sign with the next key of `LICENSE_SIGNING_KEY` from now on; files of the old one stay good."""

    kid: Kid | None = Field(default=None, description="Which key; absent: the next of the setting.")
