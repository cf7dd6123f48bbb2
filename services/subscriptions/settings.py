"""The settings of the subscriptions worker: Stripe, trials and dunning."""

from pydantic import Field, SecretStr

from services.subscriptions.domain.dunning import GRACE_DAYS, EndState
from services.subscriptions.domain.tax_settings import AddressCollection, TaxMode
from shared.settings import Settings


class SubscriptionsSettings(Settings):
    """The subscriptions worker's settings; a field's name in capitals is its environment variable."""

    stripe_secret_key: SecretStr | None = Field(default=None, description="Without it, payments are off.")
    stripe_publishable_key: str | None = Field(default=None)
    stripe_api_base: str = Field(default="https://api.stripe.com", description="Another one for tests.")
    stripe_trial_days: int | None = Field(default=None, ge=0, le=730)
    grace_days: int = Field(
        default=GRACE_DAYS, ge=0, le=90, description="Before an overdue customer is restricted."
    )
    dunning_end_state: EndState | None = Field(
        default=None, description="When retries are used up; without it, Stripe's dashboard decides."
    )
    tax_mode: TaxMode = Field(
        default="none",
        description="`stripe_automatic`: Stripe Tax computes the tax of everything new. `none`: the catalog's"
        " tax rates apply, if it has any.",
    )
    tax_id_collection: bool = Field(default=False, description="Whether checkout asks for a VAT id.")
    billing_address_collection: AddressCollection = Field(
        default="auto", description="`required`: checkout always asks for the address."
    )
    benefit_secret: SecretStr | None = Field(
        default=None, description="Signs the tokens that open benefits; without it, none is opened."
    )
