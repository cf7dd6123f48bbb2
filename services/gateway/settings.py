"""The gateway's settings: token keys, public URL, allowed origins and rate limits."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from shared.settings import CommonSettings

SECRET_MIN_BYTES = 32
"""The size of the HS256 hash; a shorter secret is easier to guess than the signature."""


def _check_length(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value().encode()) < SECRET_MIN_BYTES:
        raise ValueError(f"must have at least {SECRET_MIN_BYTES} bytes")
    return secret


def _origin(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.rstrip("/") or parts.query:
        raise ValueError("must look like https://billing.example.com")
    return f"{parts.scheme}://{parts.netloc}"


Secret = Annotated[SecretStr, AfterValidator(_check_length)]
RequestsAMinute = Annotated[int, Field(ge=1, le=10_000_000)]


class GatewaySettings(CommonSettings):
    """The gateway's settings; the names in capitals are the environment variables."""

    gateway_jwt_secret: Secret | None = Field(
        default=None, description="The host application signs its tokens with it, HS256."
    )
    gateway_jwks: str | None = Field(
        default=None, description="A file or URL with the host application's public keys, as a JWKS."
    )
    gateway_jwt_issuer: str | None = Field(default=None, description="`iss` that tokens must have.")
    gateway_jwt_audience: str | None = Field(
        default=None,
        description="`aud` that tokens must have; without it any is accepted, with a warning at start.",
    )
    gateway_session_secret: Secret = Field(description="Signs links to the pages, and their sessions.")
    gateway_public_url: Annotated[str, AfterValidator(_origin)] = Field(
        default="http://127.0.0.1:7400", description="Where browsers find it; https makes cookies secure."
    )
    gateway_application_name: str = Field(
        default="Tallystick", max_length=60, description="What the pages call the host application."
    )
    gateway_sign_in_url: str | None = Field(
        default=None,
        description="Where the host application signs people in; gets `return_to`, the page to come back to.",
    )
    gateway_rate_per_customer: RequestsAMinute = Field(default=600, description="Requests a minute.")
    gateway_rate_per_address: RequestsAMinute = Field(default=1_200, description="Requests a minute.")
    gateway_trusted_proxies: int = Field(
        default=0, ge=0, le=10, description="How many proxies stand in front and add to X-Forwarded-For."
    )
    gateway_cors_origins: str = Field(
        default="", description="Origins whose pages may call the API, separated by commas; none by default."
    )

    gateway_return_origins: str = Field(
        default="",
        description="Origins that Stripe's pages may lead back to, by commas; this gateway always may.",
    )

    stripe_api_base: str = Field(default="https://api.stripe.com", description="Another one for tests.")

    @property
    def is_secure(self) -> bool:
        """Whether browsers use https, so that cookies are marked as secure."""
        return self.gateway_public_url.startswith("https://")

    @property
    def return_origins(self) -> list[str]:
        """The origins in `GATEWAY_RETURN_ORIGINS`."""
        named = (origin.strip() for origin in self.gateway_return_origins.split(","))
        return [_origin(origin).lower() for origin in named if origin]

    @property
    def cors_origins(self) -> list[str]:
        """The origins in `GATEWAY_CORS_ORIGINS`."""
        return [origin.strip() for origin in self.gateway_cors_origins.split(",") if origin.strip()]

    @model_validator(mode="after")
    def _check_return_origins(self) -> "GatewaySettings":
        assert self.return_origins is not None
        return self

    @model_validator(mode="after")
    def _check_token_keys(self) -> "GatewaySettings":
        if self.gateway_jwt_secret is None and not self.gateway_jwks:
            raise ValueError("set GATEWAY_JWT_SECRET or GATEWAY_JWKS: nobody could sign a token otherwise")
        return self
