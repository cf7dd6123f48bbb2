"""The words that all messages of `consumables` share."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tallystick.messages.catalog import UNITS_MAX

SERVICE = "consumables"
ITEMS_MAX = 500
"""Consumptions in one `consume_many`: a batch that commits in a few milliseconds."""
RESERVATION_MAX_SECONDS = 86_400
"""A reservation of more than a day is a consumption that somebody forgot to make."""
PRIORITY_MAX = 1_000_000
PRIORITY_DEFAULT = 100
"""Where a plan's own grants stand: a promotion goes below, so that it is used first."""

Account = Annotated[
    str,
    StringConstraints(
        pattern=r"^(customer:(user|organization)_[A-Za-z0-9-]{1,64}|(team:team|seat:seat)_[a-z0-9]{1,64})$"
    ),
]
"""Who holds units: `customer:organization_acme`, `team:team_…`, `seat:seat_…`."""
Units = Annotated[int, Field(ge=1, le=UNITS_MAX)]
Priority = Annotated[int, Field(ge=0, le=PRIORITY_MAX)]
CountedKind = Literal["limit", "consumable"]
"""A ceiling on what exists now, or units that are used up. Flags have no units."""
EntryKind = Literal[
    "granted",
    "consumed",
    "reserved",
    "committed",
    "released",
    "freed",
    "refunded",
    "expired",
    "revoked",
]
"""What an entry of the ledger moves, each from one place to another: `granted` from outside to what remains,
`consumed` and `reserved` from there, `committed` from reserved to consumed, `released` from reserved back,
`freed` (limits) and `refunded` from consumed back, `expired` and `revoked` out of what remains."""
