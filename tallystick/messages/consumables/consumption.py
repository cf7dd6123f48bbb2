"""Commands that consume, reserve, release or refund units."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from tallystick.messages.base import (
    Code,
    Command,
    CommandId,
    Count,
    Customer,
    EntityId,
    Instant,
    Metadata,
    Outcome,
    Strict,
    TolerantModel,
)
from tallystick.messages.consumables.types import (
    ITEMS_MAX,
    RESERVATION_MAX_SECONDS,
    SERVICE,
    Account,
    Units,
)

DRAWING = ("insufficient_balance", "no_account", "unknown_feature", "account_suspended")
"""Rejections of consuming and reserving. `insufficient_balance`: `details.available` is the number of
available units."""


class Drawn(TolerantModel):
    """Units drawn from one grant."""

    account: Account
    grant_id: EntityId
    quantity: Count


class Consumed(TolerantModel):
    """Result of a consumption."""

    consumed: Count
    remaining: Count | None = Field(description="Units the consumer may still draw; null: unlimited.")
    drawn: list[Drawn] = Field(description="Grants the units were drawn from, in order.")
    overage: Count = Field(
        default=0,
        description="How many of them are beyond the included units and owed; absent: none. The last of "
        "`drawn` is the grant that they are owed from.",
    )


class UnitsRequest(Strict):
    """Fields of commands that draw units."""

    consumer: Customer = Field(description="Customer who uses the units.")
    feature: Code
    quantity: Units = 1
    account: Account | None = Field(
        default=None,
        description="Draw from this account only; absent: from all accounts the consumer may draw from.",
    )
    partial: bool = Field(
        default=False,
        description="Draw the available units if there are fewer than requested, but at least one.",
    )
    metadata: Metadata | None = Field(default=None, description="Stored with the ledger entries.")


class Consume(UnitsRequest, Command[Consumed], service=SERVICE, rejections=DRAWING):
    """Consume units, all or nothing unless `partial`; for a limit, occupy units."""

    occurred_at: Instant | None = Field(
        default=None,
        description="When the units were used, if that was earlier: at most LATE_USAGE_DAYS (35) back. Usage "
        "reports, meters and ledger entries have that time; balances change now.",
    )


class ConsumedMany(TolerantModel):
    """Outcome of each item, in order."""

    outcomes: list[Outcome]


class ConsumeMany(Command[ConsumedMany], service=SERVICE):
    """Carry out many consumptions at once, each with its own command id and outcome.

    An item that was sent before, alone or in another batch, gets its first outcome again.
    """

    items: Annotated[list[Consume], Field(min_length=1, max_length=ITEMS_MAX)]

    @model_validator(mode="after")
    def _require_distinct_ids(self) -> Self:
        if any(item.command_id == self.command_id for item in self.items):
            raise ValueError("an item needs a command_id other than the message's")
        return self


class Left(TolerantModel):
    """Units left after a change."""

    remaining: Count | None = Field(description="Units that may be drawn now; null: unlimited.")


class Release(
    Command[Left],
    service=SERVICE,
    rejections=("nothing_to_release", "no_account", "unknown_feature"),
):
    """Release occupied units of a limit, even if the account is suspended.

    `nothing_to_release`: `details.in_use` is the number of units in use.
    """

    consumer: Customer
    feature: Code
    quantity: Units = 1
    account: Account | None = None


class Reserved(TolerantModel):
    """Result of a reservation."""

    reservation_id: EntityId
    reserved: Count
    expires_at: Instant
    remaining: Count | None = Field(description="Units the consumer may still draw; null: unlimited.")


class Reserve(UnitsRequest, Command[Reserved], service=SERVICE, rejections=DRAWING):
    """Reserve units for a limited time. They return to the balance unless the reservation is committed."""

    ttl_seconds: Annotated[int, Field(ge=1, le=RESERVATION_MAX_SECONDS)]


class Settled(TolerantModel):
    """Result of committing a reservation."""

    consumed: Count
    remaining: Count | None


class CommitReservation(
    Command[Settled],
    service=SERVICE,
    rejections=("reservation_expired", "reservation_closed", "insufficient_balance", "account_suspended"),
):
    """Consume reserved units.

    A smaller quantity releases the rest; 0 releases all. A larger one draws the difference from what is free
    in the same commit. `insufficient_balance`: reserved and free units together are fewer
    (`details.available`); the reservation stays open.
    """

    reservation_id: EntityId
    quantity: Count | None = Field(default=None, description="Absent: all reserved units.")
    partial: bool = Field(
        default=False,
        description="Of what is not reserved, consume as much as there is, instead of all or none.",
    )


class ReleaseReservation(Command[Left], service=SERVICE, rejections=("reservation_closed",)):
    """Release reserved units."""

    reservation_id: EntityId


class Refunded(TolerantModel):
    """Result of a refund."""

    refunded: Count = Field(description="Units that may be used again.")
    lapsed: Count = Field(default=0, description="Units whose grant has ended, and which expired at once.")
    remaining: Count | None


class RefundConsumption(Command[Refunded], service=SERVICE, rejections=("already_refunded",)):
    """Refund a consumption, fully or partly, to the grants it was drawn from.

    Units refunded to a grant that has expired expire immediately. Units of a limit that were already released
    cannot be refunded. `already_refunded`: fewer units than requested are left to refund
    (`details.refundable`).
    """

    consumption_id: CommandId = Field(description="`command_id` of the consumption.")
    quantity: Units | None = Field(default=None, description="Absent: everything not refunded yet.")
