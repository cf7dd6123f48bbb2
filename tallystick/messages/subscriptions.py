"""The language of `subscriptions`: customers, subscriptions, invoices and entitlements.

The catalog, which the same service keeps, has its own module.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from tallystick.messages.base import (
    Amount,
    Code,
    Command,
    Count,
    Currency,
    Customer,
    Email,
    EntityId,
    Event,
    Instant,
    Metadata,
    Page,
    PositiveCount,
    Question,
    Strict,
    StripeId,
    Text,
    Told,
    Url,
)
from tallystick.messages.catalog import SEATS_MAX, FeatureKind, ProductFeature, SeatRule

SERVICE = "subscriptions"
ITEMS_MAX = 20
"""As many items as Stripe takes on one subscription."""

Status = Literal["incomplete", "trialing", "active", "past_due", "unpaid", "paused", "canceled", "expired"]
"""`canceled` and `expired` are final."""
Collection = Literal["none", "automatic", "invoice"]
"""Who collects the money: nobody here, the saved payment method, or an invoice that is sent."""
InvoiceStatus = Literal["draft", "open", "paid", "void", "uncollectible"]
Through = Literal["owner", "seat", "override"]
Quantity = Annotated[int, Field(ge=1, le=SEATS_MAX)]


# --- Snapshots ---------------------------------------------------------------------------------------------


class CustomerSnapshot(Customer):
    """A registered customer. Begins with `type` and `id`, so that it serves wherever a customer is named."""

    model_config = ConfigDict(extra="ignore")

    customer_id: EntityId
    version: PositiveCount
    email: str = Field(description="Where Stripe sends invoices and receipts.")
    name: str | None
    metadata: dict[str, str] = Field(
        description="The host application's own; `billing_manager` names a user."
    )
    stripe_customer_id: str | None = Field(description="Null where payments are not configured.")
    created_at: Instant


class ItemFeature(ProductFeature):
    """What an item gives of one feature, as the catalog had it when the item's period began."""

    kind: FeatureKind


class SubscriptionItem(Told):
    """One line of a subscription. All that others need to know of the catalog to act alone is copied in."""

    product: Code | None = Field(
        description="Null: bought in Stripe at a price that our catalog does not know."
    )
    price: Code | None = Field(description="Null together with `product`.")
    quantity: Count = Field(description="How many were bought; seats, on products that have them.")
    seats: SeatRule | None
    features: list[ItemFeature]
    stripe_price_id: str | None = Field(default=None, description="Null on free prices.")


class ScheduledChange(Told):
    """A change that waits for the end of the period."""

    product: Code
    price: Code
    quantity: Count
    at: Instant


class SubscriptionSnapshot(Told):
    """A subscription as it stands."""

    subscription_id: EntityId
    version: PositiveCount
    customer: Customer
    status: Status
    collection: Collection
    items: list[SubscriptionItem]
    current_period_start: Instant | None
    current_period_end: Instant | None
    trial_end: Instant | None = Field(description="When the trial ends or ended; null: there was none.")
    cancel_at_period_end: bool
    canceled_at: Instant | None = Field(description="When the end was asked for; null while none is.")
    ended_at: Instant | None = Field(description="When it became `canceled` or `expired`.")
    grace_until: Instant | None = Field(description="Until when an overdue customer keeps everything.")
    scheduled_change: ScheduledChange | None
    stripe_subscription_id: str | None = Field(description="Null: it has no Stripe object.")
    created_at: Instant


class Span(Told):
    """A stretch of time: from `start` up to but not including `end`."""

    start: Instant
    end: Instant


class InvoiceLine(Told):
    """One line of an invoice, as Stripe words it."""

    description: str | None
    amount: Amount = Field(description="In the minor unit of the invoice's currency; credits are negative.")
    quantity: Count | None
    period: Span
    proration: bool
    price: Code | None = Field(description="Null where the line has no price of our catalog.")


class InvoiceSnapshot(Told):
    """An invoice as Stripe tells it. Amounts are in the minor unit of `currency`."""

    invoice_id: EntityId
    version: PositiveCount
    customer: Customer
    subscription_id: EntityId | None
    number: str | None = Field(description="Null until it is finalized.")
    status: InvoiceStatus
    total: Amount
    amount_due: Amount
    amount_paid: Amount
    currency: Currency
    lines: list[InvoiceLine]
    reference: str | None = Field(description="The caller's own, on one-off charges.")
    attempt_count: Count = Field(description="How often its payment has been tried.")
    hosted_invoice_url: str | None
    invoice_pdf: str | None
    stripe_invoice_id: str
    created_at: Instant


class EntitlementSource(Told):
    """Where an entitlement comes from."""

    subscription_id: EntityId | None = Field(description="Null for an override.")
    product: Code | None
    through: Through


class Allowance(Told):
    """The answer to `check_entitlement`: whether, how much, why and until when."""

    allowed: bool
    quantity: Count | None = Field(description="Null: unlimited, and for flags.")
    sources: list[EntitlementSource]
    expires_at: Instant | None = Field(description="When it is certain to end; null: no end is known.")


class EntitlementSnapshot(Allowance):
    """What one customer may use of one feature."""

    entitlement_id: str = Field(description="Its key in the bucket: `organization_acme.audio_transcription`.")
    version: PositiveCount
    customer: Customer
    feature: Code


class BucketEntry(Allowance):
    """The value of a key in the bucket `billing_entitlements`."""

    version: PositiveCount


# --- Results -----------------------------------------------------------------------------------------------


class CustomerFound(Told):
    """A customer, as changed or as asked for."""

    customer: CustomerSnapshot


class SubscriptionFound(Told):
    """A subscription, as changed or as asked for."""

    subscription: SubscriptionSnapshot


class SubscriptionPage(Told):
    """A page of subscriptions, newest first."""

    items: list[SubscriptionSnapshot]
    next_cursor: str | None = None


class InvoicePage(Told):
    """A page of invoices, newest first."""

    items: list[InvoiceSnapshot]
    next_cursor: str | None = None


class EntitlementPage(Told):
    """A page of entitlements, by feature."""

    items: list[EntitlementSnapshot]
    next_cursor: str | None = None


class CheckoutStarted(Told):
    """Where the customer is to be sent, and until when."""

    checkout_url: str
    checkout_id: EntityId
    expires_at: Instant


# --- Commands ----------------------------------------------------------------------------------------------


class ItemToBuy(Strict):
    """A price and how many of it."""

    price: Code
    quantity: Quantity | None = Field(
        default=None, description="Absent: the fewest that are sold, usually 1."
    )


def _refuse_repeated_prices(items: list[ItemToBuy]) -> None:
    if len({item.price for item in items}) < len(items):
        raise ValueError("name each price once and give its quantity")


ItemsToBuy = Annotated[list[ItemToBuy], Field(min_length=1, max_length=ITEMS_MAX)]


class RegisterCustomer(Command[CustomerFound], service=SERVICE, rejections=("stripe_customer_taken",)):
    """Make a customer known, or change their email, name and metadata."""

    # On the wire it is `name`, which in Python already says what a command is called.
    model_config = ConfigDict(serialize_by_alias=True)

    customer: Customer
    email: Email
    full_name: Annotated[Text, Field(min_length=1, max_length=250)] | None = Field(
        default=None, alias="name", description="Absent: kept as it is."
    )
    metadata: Metadata | None = Field(default=None, description="Absent: kept; otherwise replaced.")
    stripe_customer_id: StripeId | None = Field(
        default=None, description="Adopts a customer that Stripe already knows, with its subscriptions."
    )


class StartCheckout(
    Command[CheckoutStarted],
    service=SERVICE,
    rejections=("unknown_price", "quantity_out_of_range", "already_subscribed"),
):
    """Open a checkout page where a registered customer buys a subscription."""

    customer: Customer
    items: ItemsToBuy
    success_url: Url
    cancel_url: Url
    trial: bool | None = Field(
        default=None,
        description="False: none. True: as the catalog offers. Absent: the same, once a product.",
    )
    promotion_code: (
        Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_-]+$")] | None
    ) = Field(default=None, description="What the customer was given, or Stripe's id of it, `promo_…`.")

    @model_validator(mode="after")
    def _each_price_once(self) -> "StartCheckout":
        _refuse_repeated_prices(self.items)
        return self


class CreateSubscription(
    Command[SubscriptionFound],
    service=SERVICE,
    rejections=("unknown_price", "quantity_out_of_range", "already_subscribed"),
):
    """Subscribe a registered customer to free prices; active at once, without a Stripe object."""

    customer: Customer
    items: ItemsToBuy
    collection: Collection = Field(
        default="none", description="Free prices have nothing to collect: the subscription says `none`."
    )

    @model_validator(mode="after")
    def _each_price_once(self) -> "CreateSubscription":
        _refuse_repeated_prices(self.items)
        return self


class CancelSubscription(Command[SubscriptionFound], service=SERVICE, rejections=("subscription_ended",)):
    """End a subscription, at once or when its period ends."""

    subscription_id: EntityId
    at: Literal["period_end", "now"]
    reason: Text | None = Field(default=None, description="Kept in the audit trail and in Stripe.")


# --- Questions ---------------------------------------------------------------------------------------------


class GetCustomer(Question[CustomerFound], service=SERVICE, rejections=("not_found",)):
    """One customer."""

    customer: Customer


class GetSubscription(Question[SubscriptionFound], service=SERVICE, rejections=("not_found",)):
    """One subscription; of a customer: the newest that has not ended, else the newest."""

    subscription_id: EntityId | None = None
    customer: Customer | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "GetSubscription":
        if (self.subscription_id is None) == (self.customer is None):
            raise ValueError("give either subscription_id or customer")
        return self


class ListSubscriptions(Page, Question[SubscriptionPage], service=SERVICE):
    """Subscriptions, newest first."""

    customer: Customer | None = None
    status: Status | None = None


class ListInvoices(Page, Question[InvoicePage], service=SERVICE):
    """A customer's invoices, newest first."""

    customer: Customer


class CheckEntitlement(Question[Allowance], service=SERVICE):
    """Whether a customer may use a feature. Never refused: what nobody sold is not allowed."""

    customer: Customer
    feature: Code


class ListEntitlements(Page, Question[EntitlementPage], service=SERVICE):
    """All that a customer may use, by feature."""

    customer: Customer


# --- Events ------------------------------------------------------------------------------------------------


class CustomerEvent(Event, service=SERVICE, entity="customer", names=("created", "updated")):
    """A customer was registered or changed. `customer` is the whole snapshot."""

    customer: CustomerSnapshot


class SubscriptionEvent(
    Event,
    service=SERVICE,
    entity="subscription",
    names=(
        "created",
        "activated",
        "trialStarted",
        "changed",
        "renewed",
        "pastDue",
        "recovered",
        "paused",
        "resumed",
        "cancelScheduled",
        "reactivated",
        "canceled",
        "expired",
        "updated",
    ),
):
    """A subscription changed; `updated` is for what has no name of its own, such as a trial prolonged."""

    subscription: SubscriptionSnapshot


class InvoiceEvent(
    Event,
    service=SERVICE,
    entity="invoice",
    names=("created", "updated", "paid", "paymentFailed", "voided"),
):
    """An invoice changed; `updated` is for what has no name of its own, such as being finalized."""

    invoice: InvoiceSnapshot


class EntitlementEvent(Event, service=SERVICE, entity="entitlement", names=("changed",)):
    """What a customer may use of a feature changed; `allowed` false: nothing gives it any more."""

    entitlement: EntitlementSnapshot
