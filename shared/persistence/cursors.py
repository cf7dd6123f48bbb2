"""Cursors of listings: the sort key of the last item shown, encoded as an opaque string."""

import base64
import binascii
import json
from collections.abc import Sequence

from shared.errors import Rejected, invalid_message


def encode_cursor(*key: str) -> str:
    """Encode the cursor that points after the item with this sort key."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, parts: int) -> Sequence[str]:
    """Decode a cursor into a sort key of `parts` strings; raises Rejected `invalid_message` if it is none."""
    try:
        key = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        raise _invalid() from None
    if not isinstance(key, list) or len(key) != parts or not all(_is_plain(part) for part in key):
        raise _invalid()
    return key


def _is_plain(part: object) -> bool:
    # Postgres accepts no NUL and no lone surrogate in text.
    return isinstance(part, str) and part.isprintable()


def _invalid() -> Rejected:
    return invalid_message(
        [{"field": "cursor", "problem": "is not the next_cursor of a page of this listing"}]
    )
