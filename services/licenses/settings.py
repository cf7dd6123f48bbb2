"""The settings of the licenses worker: the secret of license keys, and the private signing keys."""

from pydantic import Field, SecretStr

from shared.settings import Settings


class LicensesSettings(Settings):
    """The licenses worker's settings; a field's name in capitals is its environment variable."""

    license_key_secret: SecretStr | None = Field(
        default=None, description="32 characters or more; license keys are derived from it."
    )
    license_signing_key: SecretStr | None = Field(
        default=None,
        description="Ed25519 private key that signs license files: 64 hexadecimal digits or a PEM, or the "
        "absolute path of a file with it; the next keys follow, separated by commas.",
    )
