"""Changes of plan or quantity: requested, previewed, scheduled and canceled; and the upcoming invoice."""

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
    TolerantModel,
)
from tallystick.messages.subscriptions.add_ons import Details
from tallystick.messages.subscriptions.invoices import InvoiceAmounts, InvoiceLine
from tallystick.messages.subscriptions.subscriptions import (
    ScheduledChange,
    SubscriptionFound,
    SubscriptionSnapshot,
)
from tallystick.messages.subscriptions.types import SERVICE, Proration, Quantity, When
from tallystick.messages.subscriptions.units import UnitsChange

WHEN = "Absent: upgrades apply now and downgrades at the end of the period; in a trial all apply now."
PRORATION = "How a change now is charged; a change at the end of the period is never prorated."


class SubscriptionChanged(TolerantModel):
    """Subscription after the change, or with the scheduled change."""

    subscription: SubscriptionSnapshot
    scheduled_change: ScheduledChange | None = Field(
        default=None, description="The same as in the subscription."
    )


class PreviewTotals(InvoiceAmounts):
    """Totals of the previewed invoice, in the minor unit of the preview's currency."""

    total: Amount = Field(description="Total with all taxes, before the customer's credit balance.")
    amount_due: Amount = Field(description="Amount to pay, after the customer's credit balance.")
    tax_unknown: bool = Field(
        default=False,
        description="True: Stripe Tax does not know the customer's country yet, so that tax may be added.",
    )


class ChangePreview(TolerantModel):
    """Cost of a change, and what it does to units. Nothing has been changed."""

    due_now: Money = Field(description="Amount charged immediately, with its tax.")
    next_invoice: Money = Field(description="Total of the next regular invoice, with its tax.")
    lines: list[InvoiceLine] = Field(
        description="Lines of the immediate invoice if there is one, else of the next."
    )
    when: When | None = Field(
        default=None,
        description="Time of the change of plan or quantity; null if neither changes.",
    )
    proration_date: Instant | None = Field(
        default=None,
        description="Moment from which a change now is prorated; with it the change costs the same.",
    )
    totals: PreviewTotals | None = Field(
        default=None, description="Net amount, tax and total of the invoice whose `lines` these are."
    )
    next_invoice_tax: Money | None = Field(default=None, description="Tax within `next_invoice`.")
    units: list[UnitsChange] | None = Field(
        default=None,
        description="What the change does to units of the plan, by feature, without unlimited ones; a change "
        "at the end of the period leaves them as they are until then. Null: not known just now.",
    )


class ComingInvoice(InvoiceAmounts):
    """Next invoice if nothing changes."""

    subscription_id: EntityId | None
    currency: Currency
    total: Amount
    amount_due: Amount = Field(description="Amount due after the customer's credit balance.")
    due_at: Instant | None = Field(description="Time at which it will be created.")
    lines: list[InvoiceLine]


class ComingInvoiceFound(TolerantModel):
    """Answer to `upcoming_invoice`."""

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
        "amount_changed",
    ),
):
    """Change a subscription to another price. If a payment fails, nothing changes."""

    subscription_id: EntityId
    price: Code
    quantity: Quantity | None = Field(
        default=None, description="Absent: the current quantity, if the new price allows it."
    )
    when: When | None = Field(default=None, description=WHEN)
    proration: Proration = Field(default="prorate", description=PRORATION)
    due_now: Money | None = Field(
        default=None, description="Amount of the preview that was agreed to; absent: not checked."
    )
    proration_date: Instant | None = Field(
        default=None, description="That of the preview, at most an hour old; absent: now."
    )


class ChangeQuantity(
    Command[SubscriptionChanged],
    service=SERVICE,
    rejections=(
        "subscription_not_active",
        "unknown_price",
        "quantity_out_of_range",
        "seats_in_use",
        "payment_failed",
        "amount_changed",
    ),
):
    """Change the quantity of a subscription. Setting the current quantity cancels a scheduled change."""

    subscription_id: EntityId
    quantity: Quantity
    when: When | None = Field(default=None, description=WHEN)
    proration: Proration = Field(default="prorate", description=PRORATION)
    due_now: Money | None = Field(
        default=None, description="Amount of the preview that was agreed to; absent: not checked."
    )
    proration_date: Instant | None = Field(
        default=None, description="That of the preview, at most an hour old; absent: now."
    )


class ChangeHeldQuantity(Command[SubscriptionChanged], service=SERVICE, rejections=ChangeQuantity.rejections):
    """Like `change_quantity`, after `seats` has capped the seats. For Tallystick's own services."""

    subscription_id: EntityId
    quantity: Quantity
    when: When | None = Field(default=None, description=WHEN)
    proration: Proration = Field(default="prorate", description=PRORATION)
    due_now: Money | None = Field(
        default=None, description="Amount of the preview that was agreed to; absent: not checked."
    )
    proration_date: Instant | None = Field(
        default=None, description="That of the preview, at most an hour old; absent: now."
    )


class CancelScheduledChange(
    Command[SubscriptionFound], service=SERVICE, rejections=("nothing_scheduled", "subscription_ended")
):
    """Cancel the change scheduled for the end of the period."""

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
        "already_subscribed",
        "add_on_details_required",
    ),
):
    """Preview the cost, the invoice lines and the units of a change; nothing is changed."""

    subscription_id: EntityId
    price: Code | None = None
    quantity: Quantity | None = None
    add_price: Code | None = Field(default=None, description="Price of an add-on to buy.")
    details: Details | None = Field(
        default=None, description="Details of the add-on; absent: they are not checked."
    )
    when: When | None = Field(default=None, description=WHEN)
    proration: Proration = Field(default="prorate", description=PRORATION)

    @model_validator(mode="after")
    def _require_one_change(self) -> "PreviewChange":
        changes = self.price is not None or self.quantity is not None
        if changes == (self.add_price is not None):
            raise ValueError("give price, quantity or both; or add_price alone")
        if self.details is not None and self.add_price is None:
            raise ValueError("details belong to an add_price")
        return self


class UpcomingInvoice(
    Question[ComingInvoiceFound], service=SERVICE, rejections=("not_found", "payments_not_configured")
):
    """Get a customer's next invoice."""

    customer: Customer
