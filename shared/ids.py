"""Ids: a type prefix and a part that sorts by time, `sub_01h455vb4pex5vsknk084sn02q`."""

import uuid_utils
from typeid.codecs import base32


def new_id(prefix: str) -> str:
    """A fresh id with the given prefix (lower-case letters and underscores)."""
    # What `TypeID` makes, without looking each time whether the prefix is one: it takes half as long.
    return f"{prefix}_{base32.encode(uuid_utils.uuid7().bytes)}"
