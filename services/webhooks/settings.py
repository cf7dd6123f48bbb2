"""The settings of the webhooks worker: Stripe's signing secret and API, and who checks signatures."""

from pydantic import Field, SecretStr

from shared.settings import Settings


class WebhooksSettings(Settings):
    """The webhooks worker's settings; a field's name in capitals is its environment variable."""

    stripe_secret_key: SecretStr | None = Field(default=None, description="Without it, payments are off.")
    stripe_webhook_secret: SecretStr | None = Field(default=None, description="Signs Stripe's webhooks.")
    stripe_api_base: str = Field(default="https://api.stripe.com", description="Another one for tests.")
    webhook_ingress_verified: bool = Field(
        default=False, description="True where the NATS ingress has checked Stripe's signature already."
    )
