"""Types shared by the messages of `monitoring`."""

from typing import Annotated

from pydantic import Field

SERVICE = "monitoring"
RESOURCE_VALUE_MAX = 1e15
"""Limit of a reported value; integers up to it are exact in every JSON parser."""

ResourceValue = Annotated[float, Field(ge=0, le=RESOURCE_VALUE_MAX, allow_inf_nan=False)]
"""A measured value, such as gigabytes or a number of shops."""
Percent = Annotated[float, Field(allow_inf_nan=False)]
"""A percentage, such as 25.0."""
