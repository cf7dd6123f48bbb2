"""The settings of the notifications worker: the mail server, the sender, and its secrets."""

from typing import Annotated, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator

from shared.settings import Settings
from tallystick.messages.notifications import Kind, Language

SECRET_MIN_CHARACTERS = 32


def _check_length(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < SECRET_MIN_CHARACTERS:
        raise ValueError(f"must have {SECRET_MIN_CHARACTERS} characters or more")
    return secret


def _check_web_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError("must look like https://billing.example.com")
    return url.rstrip("/")


WebUrl = Annotated[str, AfterValidator(_check_web_url)]
Secret = Annotated[SecretStr, AfterValidator(_check_length)]


class NotificationsSettings(Settings):
    """The notifications worker's settings; a field's name in capitals is its environment variable."""

    smtp_url: SecretStr | None = Field(
        default=None, description="smtp:// or smtps://user:password@host:port; without it no mail is sent."
    )
    mail_from: str = Field(default="billing@localhost", max_length=320, description="Sender of all mails.")
    mail_reply_to: str | None = Field(default=None, max_length=320, description="Where answers go.")
    mail_brand_name: str = Field(default="Tallystick", min_length=1, max_length=60)
    mail_brand_color: str = Field(
        default="#1f5fbf", pattern="^#[0-9a-fA-F]{6}$", description="Colour of buttons and the headline bar."
    )
    mail_brand_logo: WebUrl | None = Field(default=None, description="Picture in place of the brand's name.")
    mail_language: Language = Field(default="en", description="Language of recipients who have chosen none.")
    mail_operators: str = Field(default="", description="Addresses of operators, separated by commas.")
    notifications_kinds_off: str = Field(
        default="", description="Kinds that the host application mails itself, separated by commas."
    )
    invitation_secret: Secret | None = Field(
        default=None, description="The same as in `seats`: links of invitations are derived from it."
    )
    notifications_secret: SecretStr = Field(
        description="Signs the links in mails and encrypts stored secrets; several, separated by commas, "
        "while it is being changed: the first one signs."
    )
    webhooks_out_allow_private: bool = Field(
        default=False, description="true: webhooks may go over http and into private networks; for laptops."
    )
    gateway_public_url: WebUrl = Field(
        default="http://127.0.0.1:7400", description="Where the pages are that mails link to."
    )

    @field_validator("notifications_secret")
    @classmethod
    def _check_secrets(cls, value: SecretStr) -> SecretStr:
        for one in value.get_secret_value().split(","):
            _check_length(SecretStr(one))
        return value

    @property
    def secrets(self) -> list[str]:
        """The secrets of `NOTIFICATIONS_SECRET`; the first one signs."""
        return self.notifications_secret.get_secret_value().split(",")

    @field_validator("notifications_kinds_off")
    @classmethod
    def _check_kinds(cls, value: str) -> str:
        unknown = _listed(value) - set(get_args(Kind))
        if unknown:
            raise ValueError(f"there is no kind {sorted(unknown)[0]!r}")
        return value

    @property
    def kinds_off(self) -> frozenset[str]:
        """The kinds of `NOTIFICATIONS_KINDS_OFF`."""
        return _listed(self.notifications_kinds_off)

    @property
    def operators(self) -> list[str]:
        """The addresses of `MAIL_OPERATORS`."""
        return sorted(_listed(self.mail_operators))


def _listed(value: str) -> frozenset[str]:
    return frozenset(part.strip() for part in value.split(",") if part.strip())
