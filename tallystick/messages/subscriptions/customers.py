"""Who pays: customers, as registered."""

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
    Told,
)
from tallystick.messages.catalog import FeatureKind
from tallystick.messages.subscriptions.types import SERVICE


class OverrideSnapshot(Told):
    """An exception that is in force for a customer."""

    feature: Code
    kind: FeatureKind
    allowed: bool = Field(description="False: taken away, whatever gives it.")
    quantity: Count | None = Field(
        description="Added to what subscriptions give. Null: unlimited; for flags and what is taken away."
    )
    until: Instant | None = Field(description="Null: until it is set anew.")


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
    overrides: list[OverrideSnapshot] = Field(
        default_factory=list, description="The exceptions in force for them, by feature."
    )


class CustomerFound(Told):
    """A customer, as changed or as asked for."""

    customer: CustomerSnapshot


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


class GetCustomer(Question[CustomerFound], service=SERVICE, rejections=("not_found",)):
    """One customer."""

    customer: Customer


class CustomerPage(Told):
    """A page of customers, newest first."""

    items: list[CustomerSnapshot]
    next_cursor: str | None = None


class ListCustomers(Page, Question[CustomerPage], service=SERVICE):
    """Registered customers, newest first; for operators who look for somebody."""

    search: Annotated[Text, Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="Part of an id, email, name or Stripe id, in capitals or not."
    )


class CustomerEvent(Event, service=SERVICE, entity="customer", names=("created", "updated")):
    """A customer was registered or changed. `customer` is the whole snapshot."""

    customer: CustomerSnapshot
