"""Connected accounts: a seller's account at Stripe, its onboarding and its requirements."""

from pydantic import Field

from tallystick.messages.base import (
    Command,
    Count,
    Currency,
    Email,
    EntityId,
    Event,
    Instant,
    Money,
    PositiveCount,
    Question,
    TolerantModel,
    Url,
)
from tallystick.messages.payouts.types import SERVICE, Country, Every, HoldDays, Seller


class Requirements(TolerantModel):
    """Details that Stripe needs of a seller, by Stripe's names, such as `external_account`."""

    currently_due: list[str] = Field(default=[], description="Needed for the account to stay enabled.")
    past_due: list[str] = Field(default=[], description="Overdue; the account is disabled until given.")
    disabled_reason: str | None = Field(default=None, description="Why Stripe has disabled the account.")


class PayoutSchedule(TolerantModel):
    """When a seller's earnings are paid out."""

    hold_days: HoldDays = Field(description="Days from an invoice's payment until its share is available.")
    every: Every = Field(description="How often available money is paid out.")
    minimum: Count | Money = Field(
        description="Smallest payout in minor units: in every currency, or in the named currency only."
    )


class BankPayout(TolerantModel):
    """Last payout from the seller's Stripe account to their bank, which Stripe makes by itself."""

    status: str = Field(description="Stripe's status: `pending`, `in_transit`, `paid`, `failed`, `canceled`.")
    amount: Money
    arrival_at: Instant | None
    failure_message: str | None


class PayoutAccountSnapshot(TolerantModel):
    """Snapshot of a seller's connected account."""

    payout_account_id: EntityId
    version: PositiveCount
    customer: Seller
    country: Country
    email: str | None
    stripe_account_id: str = Field(description="Stripe account id, `acct_…`.")
    default_currency: Currency | None = Field(description="Currency of the seller's bank account.")
    details_submitted: bool = Field(description="The seller has completed the onboarding form.")
    charges_enabled: bool
    payouts_enabled: bool = Field(description="Money can be paid out to the seller.")
    requirements: Requirements
    schedule: PayoutSchedule
    last_bank_payout: BankPayout | None
    disconnected_at: Instant | None = Field(description="When the account was disconnected; null: connected.")
    created_at: Instant


class AccountFound(TolerantModel):
    """A seller's connected account."""

    account: PayoutAccountSnapshot


class AccountConnected(TolerantModel):
    """A new connected account, and the page on which the seller completes it."""

    account: PayoutAccountSnapshot
    onboarding_url: str = Field(description="Stripe's onboarding form; works once and for a few minutes.")


class SellerPageOpened(TolerantModel):
    """A page at Stripe to redirect the seller to at once."""

    url: str
    expires_at: Instant = Field(description="Until when the page can be opened.")


class ConnectAccount(Command[AccountConnected], service=SERVICE, rejections=("already_connected",)):
    """Open a connected account (Stripe Express) for a seller, who then completes Stripe's onboarding form."""

    customer: Seller
    country: Country
    email: Email | None = None
    return_url: Url | None = Field(
        default=None, description="Where the form leads back to; default: the seller's page of the gateway."
    )
    refresh_url: Url | None = Field(
        default=None, description="Where an expired form leads to; default: the `return_url`."
    )


class OpenOnboarding(Command[SellerPageOpened], service=SERVICE, rejections=("not_connected",)):
    """Open Stripe's onboarding form again, to complete it or to meet requirements that are due."""

    customer: Seller
    return_url: Url
    refresh_url: Url | None = None


class OpenSellerDashboard(
    Command[SellerPageOpened], service=SERVICE, rejections=("not_connected", "onboarding_incomplete")
):
    """Open Stripe's Express dashboard, where a seller sees transfers and changes the bank account."""

    customer: Seller
    return_url: Url
    refresh_url: Url | None = None


class GetAccount(Question[AccountFound], service=SERVICE, rejections=("not_found",)):
    """Get a seller's connected account: the present one, else the one that was disconnected last."""

    customer: Seller


class PayoutAccountEvent(
    Event, service=SERVICE, entity="payout_account", names=("created", "updated", "disconnected")
):
    """A seller's connected account was created, changed (at Stripe, or its schedule), or disconnected."""

    payout_account: PayoutAccountSnapshot
