"""What a worker is told from outside, all of it from environment variables."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr, StringConstraints
from pydantic_settings import BaseSettings, SettingsConfigDict

from tallystick.subjects import DEFAULT_PREFIX, DEFAULT_WEBHOOK_SUBJECT

Prefix = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]


class CommonSettings(BaseSettings):
    """What every worker is told; the names in capitals are the environment variables."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    nats_url: SecretStr = Field(
        description="nats:// or tls://user:password@host:port, several separated by commas"
    )
    dunning_end_state: Literal["canceled", "unpaid"] | None = Field(
        default=None, description="When retries are used up; without it, Stripe's dashboard decides."
    )
    subject_prefix: Prefix = DEFAULT_PREFIX
    health_host: str = Field(default="127.0.0.1", description="Where /live, /ready and /metrics listen.")
    health_port: int = Field(default=0, ge=0, le=65_535, description="0 takes any free port.")
    metrics_token: SecretStr | None = Field(
        default=None, min_length=16, description="Who reads /metrics sends it as a bearer token."
    )
    log_format: str = Field(default="json", pattern="^(json|console)$")
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")
    otel_exporter_otlp_endpoint: str | None = Field(default=None, description="Where traces go, if anywhere.")


class Settings(CommonSettings):
    """What a worker with tables is told."""

    database_url: SecretStr = Field(description="postgresql://user:password@host:port/database")
    stripe_secret_key: SecretStr | None = Field(default=None, description="Without it, payments are off.")
    stripe_publishable_key: str | None = Field(default=None)
    stripe_webhook_secret: SecretStr | None = Field(default=None, description="Signs Stripe's webhooks.")
    stripe_api_base: str = Field(default="https://api.stripe.com", description="Another one for tests.")
    stripe_trial_days: int | None = Field(default=None, ge=0, le=730)
    grace_days: int = Field(default=7, ge=0, le=90, description="Before an overdue customer is restricted.")
    invitation_secret: SecretStr | None = Field(
        default=None, description="32 characters or more; tokens of invitations are derived from it."
    )
    webhook_subject: str = DEFAULT_WEBHOOK_SUBJECT
    webhook_ingress_verified: bool = Field(
        default=False, description="True where the NATS ingress has checked Stripe's signature already."
    )

    @property
    def payments_configured(self) -> bool:
        """Whether Stripe can be called at all."""
        return self.stripe_secret_key is not None and bool(self.stripe_secret_key.get_secret_value())


def sqlalchemy_url(database_url: str) -> str:
    """The same database for SQLAlchemy with psycopg 3, whatever common scheme the URL came with."""
    _, separator, rest = database_url.partition("://")
    if not separator:
        raise ValueError("DATABASE_URL must look like postgresql://user:password@host:port/database")
    return f"postgresql+psycopg://{rest}"
