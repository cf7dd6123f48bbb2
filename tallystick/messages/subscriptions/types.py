"""The words that all messages of `subscriptions` share."""

from typing import Annotated, Literal

from pydantic import Field

from tallystick.messages.catalog import SEATS_MAX

SERVICE = "subscriptions"
ITEMS_MAX = 20
"""As many items as Stripe takes on one subscription."""
Status = Literal["incomplete", "trialing", "active", "past_due", "unpaid", "paused", "canceled", "expired"]
"""`canceled` and `expired` are final."""
FINAL_STATUSES: frozenset[Status] = frozenset({"canceled", "expired"})
"""Statuses of a subscription that has ended; it never changes again."""
GRANTING_STATUSES: frozenset[Status] = frozenset({"trialing", "active", "past_due"})
"""Statuses in which a subscription grants features and units, unless it is `restricted`."""
CHANGEABLE_STATUSES: frozenset[Status] = frozenset({"trialing", "active"})
"""Statuses in which a subscription renews, and in which its plan or quantity can be changed."""
Collection = Literal["none", "automatic", "invoice"]
"""Who collects the money: nobody here, the saved payment method, or an invoice that is sent."""
InvoiceStatus = Literal["draft", "open", "paid", "void", "uncollectible"]
Through = Literal["owner", "seat", "override"]
Quantity = Annotated[int, Field(ge=1, le=SEATS_MAX)]
When = Literal["now", "period_end"]
Proration = Literal["prorate", "invoice", "none"]
"""What a change at once costs: settled with the next invoice, invoiced at once, or nothing until then."""
