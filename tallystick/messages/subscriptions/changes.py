"""Another plan or quantity: asked for, previewed, scheduled and taken back; and what comes next to pay."""

from pydantic import Field, model_validator

from tallystick.messages.base import (
    Amount,
    Code,
    Command,
    Currency,
    Customer,
    EntityId,
    Instant,
    Money,
    Question,
    Told,
)
from tallystick.messages.subscriptions.invoices import InvoiceLine
from tallystick.messages.subscriptions.subscriptions import (
    ScheduledChange,
    SubscriptionFound,
    SubscriptionSnapshot,
)
from tallystick.messages.subscriptions.types import SERVICE, Proration, Quantity, When

WHEN = "Absent: more is given at once, less when the period ends; in a trial everything at once."
PRORATION = "What a change at once costs; at the end of a period there is nothing to prorate."


class SubscriptionChanged(Told):
    """A subscription after a change, or with the change that waits."""

    subscription: SubscriptionSnapshot
    scheduled_change: ScheduledChange | None = Field(default=None, description="As in the subscription.")


class ChangePreview(Told):
    """What a change would cost. Nothing has happened yet."""

    due_now: Money = Field(description="What is charged the moment the change is made.")
    next_invoice: Money = Field(description="What the next regular invoice comes to.")
    lines: list[InvoiceLine] = Field(
        description="Of the invoice that is made at once, if there is one, else of the next."
    )
    when: When | None = Field(
        default=None,
        description="When the plan or quantity would change, asked for or not; null where neither would.",
    )


class ComingInvoice(Told):
    """The invoice that comes next if nothing changes."""

    subscription_id: EntityId | None
    currency: Currency
    total: Amount
    amount_due: Amount = Field(description="After what the customer has to their credit.")
    due_at: Instant | None = Field(description="When it will be made.")
    lines: list[InvoiceLine]


class ComingInvoiceFound(Told):
    """The invoice that comes next."""

    invoice: ComingInvoice


class ChangePlan(
    Command[SubscriptionChanged],
    service=SERVICE,
    rejections=(
        "subscription_not_active",
        "unknown_price",
        "same_price",
        "quantity_out_of_range",
        "already_subscribed",
        "seats_in_use",
        "payment_failed",
    ),
):
    """Move a subscription to another price. A payment that fails leaves everything as it was."""

    subscription_id: EntityId
    price: Code
    quantity: Quantity | None = Field(default=None, description="Absent: as now, if so many are sold.")
    when: When | None = Field(default=None, description=WHEN)
    proration: Proration = Field(default="prorate", description=PRORATION)


class ChangeQuantity(
    Command[SubscriptionChanged],
    service=SERVICE,
    rejections=(
        "subscription_not_active",
        "unknown_price",
        "quantity_out_of_range",
        "seats_in_use",
        "payment_failed",
    ),
):
    """Have more or less of what a subscription is for. The present quantity drops what is scheduled."""

    subscription_id: EntityId
    quantity: Quantity
    when: When | None = Field(default=None, description=WHEN)
    proration: Proration = Field(default="prorate", description=PRORATION)


class ChangeHeldQuantity(Command[SubscriptionChanged], service=SERVICE, rejections=ChangeQuantity.rejections):
    """The same for `seats`, which has made sure that so many seats suffice. For Tallystick's own services."""

    subscription_id: EntityId
    quantity: Quantity
    when: When | None = Field(default=None, description=WHEN)
    proration: Proration = Field(default="prorate", description=PRORATION)


class CancelScheduledChange(
    Command[SubscriptionFound], service=SERVICE, rejections=("nothing_scheduled", "subscription_ended")
):
    """Let a subscription go on as it is instead of changing when its period ends."""

    subscription_id: EntityId


class PreviewChange(
    Question[ChangePreview],
    service=SERVICE,
    rejections=(
        "not_found",
        "subscription_not_active",
        "unknown_price",
        "same_price",
        "quantity_out_of_range",
        "seats_in_use",
        "payments_not_configured",
    ),
):
    """What a change would cost, with the lines that it then makes; nothing is changed."""

    subscription_id: EntityId
    price: Code | None = None
    quantity: Quantity | None = None
    add_price: Code | None = Field(default=None, description="An add-on, bought besides.")
    when: When | None = Field(default=None, description=WHEN)
    proration: Proration = Field(default="prorate", description=PRORATION)

    @model_validator(mode="after")
    def _one_wish(self) -> "PreviewChange":
        changes = self.price is not None or self.quantity is not None
        if changes == (self.add_price is not None):
            raise ValueError("give price, quantity or both; or add_price alone")
        return self


class UpcomingInvoice(
    Question[ComingInvoiceFound], service=SERVICE, rejections=("not_found", "payments_not_configured")
):
    """The invoice that a customer gets next."""

    customer: Customer
