"""Types shared by the messages of `consumables`."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tallystick.messages.catalog import UNITS_MAX

SERVICE = "consumables"
ITEMS_MAX = 500
"""Consumptions per `consume_many`; a batch of this size commits in a few milliseconds."""
RESERVATION_MAX_SECONDS = 86_400
"""Longest reservation: one day."""
PRIORITY_MAX = 1_000_000
PRIORITY_DEFAULT = 100
"""Priority of plan grants; give a promotion a lower one, so that it is drawn first."""

Account = Annotated[
    str,
    StringConstraints(
        pattern=r"^(customer:(user|organization)_[A-Za-z0-9-]{1,64}|(team:team|seat:seat)_[a-z0-9]{1,64})$"
    ),
]
"""Holder of units: `customer:organization_acme`, `team:team_…`, `seat:seat_…`."""
Units = Annotated[int, Field(ge=1, le=UNITS_MAX)]
Priority = Annotated[int, Field(ge=0, le=PRIORITY_MAX)]
CountedKind = Literal["limit", "consumable"]
"""`limit`: a cap on the units in use. `consumable`: units that are used up. Flags have no units."""
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
"""Kind of a ledger entry: `granted` adds to the remaining units; `consumed` and `reserved` draw from them;
`committed` moves reserved units to consumed; `released` returns reserved units; `freed` (limits) and
`refunded` return consumed units; `expired` and `revoked` remove remaining units."""
