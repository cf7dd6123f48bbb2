"""Types shared by the messages of `subscriptions`."""

from typing import Annotated, Literal

from pydantic import Field

from tallystick.messages.catalog import SEATS_MAX

SERVICE = "subscriptions"
ITEMS_MAX = 20
"""Stripe's limit of items per subscription."""
Status = Literal["incomplete", "trialing", "active", "past_due", "unpaid", "paused", "canceled", "expired"]
"""`canceled` and `expired` are final."""
FINAL_STATUSES: frozenset[Status] = frozenset({"canceled", "expired"})
"""Statuses of a subscription that has ended; it never changes again."""
GRANTING_STATUSES: frozenset[Status] = frozenset({"trialing", "active", "past_due"})
"""Statuses in which a subscription grants features and units, unless it is `restricted`."""
CHANGEABLE_STATUSES: frozenset[Status] = frozenset({"trialing", "active"})
"""Statuses in which a subscription renews, and in which its plan or quantity can be changed."""
Collection = Literal["none", "automatic", "invoice"]
"""How payment is collected: outside Stripe, from the saved payment method, or by sending an invoice."""
InvoiceStatus = Literal["draft", "open", "paid", "void", "uncollectible"]
Through = Literal["owner", "seat", "override"]
Quantity = Annotated[int, Field(ge=1, le=SEATS_MAX)]
When = Literal["now", "period_end"]
Proration = Literal["prorate", "invoice", "none"]
"""How a change now is charged: prorated on the next invoice, invoiced immediately, or not prorated."""
