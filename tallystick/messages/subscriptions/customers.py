"""Registered customers: snapshots, commands, questions and events."""

from typing import Annotated

from pydantic import ConfigDict, Field

from tallystick.messages.base import (
    Code,
    Command,
    Count,
    Customer,
    Email,
    EntityId,
    Event,
    Instant,
    Metadata,
    Page,
    PositiveCount,
    Question,
    StripeId,
    Text,
    TolerantModel,
)
from tallystick.messages.catalog import FeatureKind
from tallystick.messages.subscriptions.types import SERVICE


class OverrideSnapshot(TolerantModel):
    """Override that is in force for a customer."""

    feature: Code
    kind: FeatureKind
    allowed: bool = Field(description="False: revoked, whatever grants it.")
    quantity: Count | None = Field(
        description="Units added to what subscriptions grant; null: unlimited, a flag, or revoked."
    )
    until: Instant | None = Field(description="End of the override; null: until it is replaced.")


class CustomerSnapshot(Customer):
    """Snapshot of a registered customer; it has the `type` and `id` of a customer reference."""

    model_config = ConfigDict(extra="ignore")

    customer_id: EntityId
    version: PositiveCount
    email: str = Field(description="Address to which Stripe sends invoices and receipts.")
    name: str | None
    metadata: dict[str, str] = Field(
        description="Metadata of the host application; `billing_manager` is a user id."
    )
    stripe_customer_id: str | None = Field(
        description="Stripe customer id; null if payments are not configured."
    )
    created_at: Instant
    overrides: list[OverrideSnapshot] = Field(
        default_factory=list, description="Overrides in force, by feature."
    )


class CustomerFound(TolerantModel):
    """Customer after the command, or as queried."""

    customer: CustomerSnapshot


class RegisterCustomer(Command[CustomerFound], service=SERVICE, rejections=("stripe_customer_taken",)):
    """Register a customer, or update their email, name and metadata."""

    # The JSON field is `name`, but the class attribute `name` is already the command's name.
    model_config = ConfigDict(serialize_by_alias=True)

    customer: Customer
    email: Email
    full_name: Annotated[Text, Field(min_length=1, max_length=250)] | None = Field(
        default=None, alias="name", description="Absent: unchanged."
    )
    metadata: Metadata | None = Field(default=None, description="Absent: unchanged; otherwise replaced.")
    stripe_customer_id: StripeId | None = Field(
        default=None, description="Existing Stripe customer to use, with its subscriptions."
    )


class GetCustomer(Question[CustomerFound], service=SERVICE, rejections=("not_found",)):
    """Get a customer."""

    customer: Customer


class CustomerPage(TolerantModel):
    """Page of customers, newest first."""

    items: list[CustomerSnapshot]
    next_cursor: str | None = None


class ListCustomers(Page, Question[CustomerPage], service=SERVICE):
    """List registered customers, newest first; for operators."""

    search: Annotated[Text, Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="Part of an id, email, name or Stripe id; case-insensitive."
    )


class CustomerEvent(Event, service=SERVICE, entity="customer", names=("created", "updated")):
    """A customer was registered or updated."""

    customer: CustomerSnapshot
