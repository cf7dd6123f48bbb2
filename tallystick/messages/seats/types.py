"""The words that all messages of `seats` share."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from tallystick.messages.base import Customer, Text

SERVICE = "seats"
ASSIGN_MAX_SEATS = 500
"""The most seats of one `assign_seats`: with their metadata they still fit one message."""
MULTIPLIER_MAX = 100
ROLE_MAX_CHARACTERS = 64
SEAT_METADATA_MAX_KEYS = 10
SEAT_METADATA_MAX_BYTES = 1_024
"""Of keys and values together, in UTF-8; a seat is shown in every list and event."""

SeatStatus = Literal["pending", "claimed", "revoked"]
"""A revoked seat no longer counts; it never comes back, its address may be invited again."""
TeamStatus = Literal["open", "closed"]
Holder = Literal["seat", "owner", "unassigned"]
Multiplier = Annotated[int, Field(ge=1, le=MULTIPLIER_MAX)]
"""How many times a seat gets what the product grants each seat."""


def _check_member(member: Customer) -> Customer:
    if member.type != "user":
        raise ValueError("a seat's member is a user")
    return member


def _refuse_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    return text


def _check_metadata(metadata: dict[str, str]) -> dict[str, str]:
    if len(metadata) > SEAT_METADATA_MAX_KEYS:
        raise ValueError(f"at most {SEAT_METADATA_MAX_KEYS} keys")
    if sum(len(key.encode()) + len(value.encode()) for key, value in metadata.items()) > (
        SEAT_METADATA_MAX_BYTES
    ):
        raise ValueError(f"at most {SEAT_METADATA_MAX_BYTES} bytes in all")
    return metadata


Member = Annotated[Customer, AfterValidator(_check_member)]
"""Who holds a seat: a customer of type `user`."""
Role = Annotated[
    str, StringConstraints(min_length=1, max_length=ROLE_MAX_CHARACTERS), AfterValidator(_refuse_nul)
]
"""The host application's own word for what a member may do."""
SeatMetadata = Annotated[
    dict[Annotated[str, StringConstraints(min_length=1), AfterValidator(_refuse_nul)], Text],
    AfterValidator(_check_metadata),
]
Address = Text
"""An email address as somebody typed it; a malformed one is `invalid_email`, not a malformed message."""
Token = Annotated[str, StringConstraints(max_length=200), AfterValidator(_refuse_nul)]
"""An invitation's token; what cannot be one is answered like one that does not exist."""
