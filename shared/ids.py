"""Ids with a type prefix and a part that sorts by time: `sub_01h455vb4pex5vsknk084sn02q`."""

import uuid_utils
from typeid.codecs import base32


def new_id(prefix: str) -> str:
    """Return a new id with a prefix of lower-case letters and underscores."""
    # The same as `TypeID` without its validation of the prefix, in half the time.
    return f"{prefix}_{base32.encode(uuid_utils.uuid7().bytes)}"
