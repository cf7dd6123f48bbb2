"""Types shared by the messages of `payouts`."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tallystick.messages.base import Organization

SERVICE = "payouts"
HOLD_DAYS_MAX = 90
"""Longest time that earned money is held; most disputes are opened within it."""

Seller = Organization
"""Somebody who earns a share of what customers pay: a customer of type `organization`."""
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
"""ISO 3166-1 alpha-2 code of the country in which the seller lives or is registered, such as `DE`."""
HoldDays = Annotated[int, Field(ge=0, le=HOLD_DAYS_MAX)]
Every = Literal["day", "week", "month", "manual"]
"""How often available money is paid out: every day, every Monday, on the first of a month, or on demand."""
