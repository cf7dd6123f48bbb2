"""The settings of the payouts worker: Stripe, the gateway's address, and how long earnings are held."""

from pydantic import Field, SecretStr

from services.payouts.domain.schedule import HOLD_DAYS
from shared.settings import Settings
from tallystick.messages.payouts import HOLD_DAYS_MAX


class PayoutsSettings(Settings):
    """The payouts worker's settings; a field's name in capitals is its environment variable."""

    stripe_secret_key: SecretStr | None = Field(default=None, description="Without it, payments are off.")
    stripe_api_base: str = Field(default="https://api.stripe.com", description="Another one for tests.")
    gateway_public_url: str = Field(
        default="http://127.0.0.1:7400", description="Onboarding leads back to the seller's page there."
    )
    payout_hold_days: int = Field(
        default=HOLD_DAYS, ge=0, le=HOLD_DAYS_MAX, description="For sellers without a schedule of their own."
    )
