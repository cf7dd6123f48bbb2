"""The settings of the seats worker: the secret of invitations."""

from pydantic import Field, SecretStr

from shared.settings import Settings


class SeatsSettings(Settings):
    """The seats worker's settings; a field's name in capitals is its environment variable."""

    invitation_secret: SecretStr | None = Field(
        default=None, description="32 characters or more; tokens of invitations are derived from it."
    )
