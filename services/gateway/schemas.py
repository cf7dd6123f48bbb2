"""Types that request bodies and queries share. Unknown fields and inexact types are rejected."""

from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from tallystick.messages.base import Instant

Moment = Annotated[Instant, Field(strict=False)]
"""A moment in a body, as RFC 3339 text."""
Limit = Annotated[int, Query(ge=1, le=200, description="The maximum number of items.")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the previous page.")]


class Body(BaseModel):
    """The base class of JSON request bodies."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def set_fields(body: BaseModel) -> dict[str, Any]:
    """Return the fields that are set in a body, as keyword arguments for a message."""
    return {name: getattr(body, name) for name in body.model_fields_set}
