"""Types shared by the messages of `seats`."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from tallystick.messages.base import Customer, Text

SERVICE = "seats"
ASSIGN_MAX_SEATS = 500
"""Limit of seats per `assign_seats`; with their metadata they still fit one message."""
MULTIPLIER_MAX = 100
ROLE_MAX_CHARACTERS = 64
SEAT_METADATA_MAX_KEYS = 10
SEAT_METADATA_MAX_BYTES = 1_024
"""Total of keys and values in UTF-8; kept small because every list and event contains it."""

SeatStatus = Literal["pending", "claimed", "revoked"]
"""A revoked seat no longer counts and cannot be restored; its email may be invited again."""
TeamStatus = Literal["open", "closed"]
Holder = Literal["seat", "owner", "unassigned"]
Multiplier = Annotated[int, Field(ge=1, le=MULTIPLIER_MAX)]
"""How many times a seat gets the units that the product grants per seat."""


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
"""Holder of a seat: a customer of type `user`."""
Role = Annotated[
    str, StringConstraints(min_length=1, max_length=ROLE_MAX_CHARACTERS), AfterValidator(_refuse_nul)
]
"""Role in the host application; not interpreted here."""
SeatMetadata = Annotated[
    dict[Annotated[str, StringConstraints(min_length=1), AfterValidator(_refuse_nul)], Text],
    AfterValidator(_check_metadata),
]
Address = Text
"""Email address as entered; a malformed one is rejected with `invalid_email`, not as a malformed message."""
Token = Annotated[str, StringConstraints(max_length=200), AfterValidator(_refuse_nul)]
"""Invitation token; an invalid one gets the same answer as an unknown one."""
