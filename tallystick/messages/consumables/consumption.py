"""Commands that use units up, set them aside, or give them back."""

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
    Told,
)
from tallystick.messages.consumables.types import (
    ITEMS_MAX,
    RESERVATION_MAX_SECONDS,
    SERVICE,
    Account,
    Units,
)

DRAWING = ("insufficient_balance", "no_account", "unknown_feature", "account_suspended")
"""Why nothing can be drawn. `insufficient_balance`: `details.available` says how many there are."""


class Drawn(Told):
    """Units taken from one grant."""

    account: Account
    grant_id: EntityId
    quantity: Count


class Consumed(Told):
    """Units that were used."""

    consumed: Count
    remaining: Count | None = Field(description="What this consumer may still draw; null: unlimited.")
    drawn: list[Drawn] = Field(description="From where, in the order they were taken.")


class UnitsRequest(Strict):
    """Who wants how many units of what."""

    consumer: Customer = Field(description="Who uses them.")
    feature: Code
    quantity: Units = 1
    account: Account | None = Field(
        default=None, description="From this account alone; absent: from all the consumer may draw on."
    )
    partial: bool = Field(default=False, description="Take what there is, if it is less but not nothing.")
    metadata: Metadata | None = Field(default=None, description="Kept with the ledger's entries.")


class Consume(UnitsRequest, Command[Consumed], service=SERVICE, rejections=DRAWING):
    """Use units, all or nothing unless `partial`; of a limit: occupy."""


class ConsumedMany(Told):
    """What became of each item, in their order."""

    outcomes: list[Outcome]


class ConsumeMany(Command[ConsumedMany], service=SERVICE):
    """Many consumptions at once, each with its own id, outcome and effect.

    An item that was sent before, alone or in another batch, has the outcome it had then.
    """

    items: Annotated[list[Consume], Field(min_length=1, max_length=ITEMS_MAX)]

    @model_validator(mode="after")
    def _ids_differ(self) -> Self:
        if any(item.command_id == self.command_id for item in self.items):
            raise ValueError("an item needs a command_id other than the message's")
        return self


class Left(Told):
    """What may be drawn now."""

    remaining: Count | None = Field(description="Null: unlimited.")


class Release(
    Command[Left],
    service=SERVICE,
    rejections=("nothing_to_release", "no_account", "unknown_feature"),
):
    """Free what was occupied of a limit, also of a suspended account.

    `nothing_to_release`: `details.in_use` says how many are.
    """

    consumer: Customer
    feature: Code
    quantity: Units = 1
    account: Account | None = None


class Reserved(Told):
    """Units set aside."""

    reservation_id: EntityId
    reserved: Count
    expires_at: Instant
    remaining: Count | None = Field(description="What this consumer may still draw; null: unlimited.")


class Reserve(UnitsRequest, Command[Reserved], service=SERVICE, rejections=DRAWING):
    """Set units aside for a while: nobody else can have them, and they come back if nothing becomes of it."""

    ttl_seconds: Annotated[int, Field(ge=1, le=RESERVATION_MAX_SECONDS)]


class Settled(Told):
    """What became of a reservation."""

    consumed: Count
    remaining: Count | None


class CommitReservation(
    Command[Settled],
    service=SERVICE,
    rejections=("reservation_expired", "reservation_closed", "insufficient_balance"),
):
    """Use what was set aside; a smaller quantity gives the rest back.

    `insufficient_balance`: more was asked for than is reserved (`details.available`).
    """

    reservation_id: EntityId
    quantity: Units | None = Field(default=None, description="Absent: all of it.")


class ReleaseReservation(Command[Left], service=SERVICE, rejections=("reservation_closed",)):
    """Give back what was set aside."""

    reservation_id: EntityId


class Refunded(Told):
    """Units given back."""

    refunded: Count
    remaining: Count | None


class RefundConsumption(Command[Refunded], service=SERVICE, rejections=("already_refunded",)):
    """Give back what a consumption used, all of it or a part, to the grants it was drawn from.

    What is given back to a grant that has expired meanwhile expires with it. Places of a limit that were
    released are not there any more. `already_refunded`: less than the quantity is left to refund
    (`details.refundable`).
    """

    consumption_id: CommandId = Field(description="The `command_id` of the consumption.")
    quantity: Units | None = Field(default=None, description="Absent: all that is not refunded yet.")
