"""The settings that every worker has, read from environment variables.

What one service needs beside them is in `services/<name>/settings.py`.
"""

from typing import Annotated

from pydantic import Field, SecretStr, StringConstraints
from pydantic_settings import BaseSettings, SettingsConfigDict

from tallystick.subjects import DEFAULT_PREFIX

Prefix = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]


class CommonSettings(BaseSettings):
    """The settings of every worker; a field's name in capitals is its environment variable."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    nats_url: SecretStr = Field(
        description="nats:// or tls://user:password@host:port, several separated by commas"
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
    """The settings of a worker with tables, and of the operators' programs."""

    database_url: SecretStr = Field(description="postgresql://user:password@host:port/database")


def sqlalchemy_url(database_url: str) -> str:
    """Rewrite a database URL for SQLAlchemy with psycopg 3; raises ValueError for what is no URL."""
    _, separator, rest = database_url.partition("://")
    if not separator:
        raise ValueError("DATABASE_URL must look like postgresql://user:password@host:port/database")
    return f"postgresql+psycopg://{rest}"
