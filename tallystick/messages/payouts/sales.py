"""Sales reported by `subscriptions`: a paid invoice's lines of products that have a seller."""

from typing import Annotated

from pydantic import Field

from tallystick.messages.base import (
    Amount,
    Code,
    Command,
    Count,
    Currency,
    EntityId,
    Instant,
    Strict,
    TolerantModel,
)
from tallystick.messages.catalog import FlatFeeEntry, SharePercent
from tallystick.messages.payouts.types import SERVICE, Seller

SOLD_LINES_MAX = 250
"""The most lines of an invoice that are known."""


class SoldLine(Strict):
    """Line of a paid invoice, with the terms of its product's seller at that time."""

    product: Code
    seller: Seller
    share_percent: SharePercent
    fee: FlatFeeEntry | None = None
    net: Amount = Field(description="Amount after discounts and without tax; credits are negative.")


class SaleRecorded(TolerantModel):
    """The shares of a sale are in the ledger."""

    invoice_id: EntityId
    entries: Count = Field(description="Number of ledger entries that it made.")


class RecordSale(Command[SaleRecorded], service=SERVICE):
    """Record what sellers are owed of a paid invoice, once. For Tallystick's own services."""

    invoice_id: EntityId
    currency: Currency
    total: Amount = Field(description="Total with tax, of which refunds are a part.")
    paid_at: Instant
    lines: Annotated[list[SoldLine], Field(min_length=1, max_length=SOLD_LINES_MAX)]
