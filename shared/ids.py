"""Ids: a type prefix and a part that sorts by time, `sub_01h455vb4pex5vsknk084sn02q`.

They are TypeIDs (a UUIDv7 in Crockford's base 32), written here because an event and a put need one each, and
a command on the hot path cannot afford the library's several microseconds.
"""

import os
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]
"""Ten bits at a time, two characters each: 26 characters hold 130 bits, of which the first two are zero."""
_SHIFTS = range(120, -1, -10)
_VERSION_AND_VARIANT = 0x7 << 76 | 0b10 << 62
_RANDOM_BITS = (0xFFF << 64) | ((1 << 62) - 1)


def new_id(prefix: str) -> str:
    """A fresh id with the given prefix (lower-case letters and underscores)."""
    milliseconds = time.time_ns() // 1_000_000
    chance = int.from_bytes(os.urandom(10)) & _RANDOM_BITS
    number = milliseconds << 80 | _VERSION_AND_VARIANT | chance
    return f"{prefix}_" + "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])
