"""What request bodies and queries share: exact types, and no unknown fields, so that a typo cannot pass."""

from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from tallystick.messages.base import Instant

Moment = Annotated[Instant, Field(strict=False)]
"""A moment in a body, RFC 3339."""
Limit = Annotated[int, Query(ge=1, le=200, description="How many items at most.")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before.")]


class Body(BaseModel):
    """A request's JSON body."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def given(body: BaseModel) -> dict[str, Any]:
    """The fields that a body has set, as a message takes them."""
    return {name: getattr(body, name) for name in body.model_fields_set}
