"""Types shared by the messages of `licenses`."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from tallystick.messages.base import Code, Count
from tallystick.messages.catalog import INSTANCES_MAX, SEATS_MAX

SERVICE = "licenses"
INSTANCE_NAME_MAX_CHARACTERS = 100

LicenseStatus = Literal["active", "suspended", "expired", "revoked"]
"""`expired` and `revoked` are final."""
Validity = Literal["valid", "grace", "expired", "suspended", "revoked", "not_activated"]
"""What a license is worth for one instance; `grace`: it has ended, and the product runs on for a while."""
SigningKeyStatus = Literal["next", "active", "retired"]
"""`next` signs nothing yet; `retired` signs nothing any more, and its files stay good until they end."""


def _refuse_nul(text: str) -> str:
    # Postgres cannot store NUL characters.
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    return text


LicenseKey = Annotated[str, StringConstraints(max_length=200), AfterValidator(_refuse_nul)]
"""License key as entered; a malformed one is rejected like an unknown one."""
InstanceId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")]
"""Id of a machine or installation, chosen by the licensed product."""
InstanceName = Annotated[
    str, StringConstraints(max_length=INSTANCE_NAME_MAX_CHARACTERS), AfterValidator(_refuse_nul)
]
LicenseSeats = Annotated[int, Field(ge=1, le=SEATS_MAX)]
Members = Annotated[int, Field(ge=0, le=SEATS_MAX)]
Instances = Annotated[int, Field(ge=1, le=INSTANCES_MAX)]
LicenseFeatures = Annotated[dict[Code, Count | None], Field(max_length=200)]
"""Units by feature code; null: unlimited, or a flag."""
Kid = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""Id of a signing key: the thumbprint of its public key (RFC 7638)."""
