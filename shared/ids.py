"""Ids: a type prefix and a part that sorts by time, `sub_01h455vb4pex5vsknk084sn02q`."""

from typeid import TypeID


def new_id(prefix: str) -> str:
    """A fresh id with the given prefix (lower-case letters and underscores)."""
    return str(TypeID(prefix=prefix))
