"""Message size as NATS counts it: headers and body together.

nats-py compares only the body with `max_payload`. A body just below the limit with a few headers passes that
check, and the server then closes the connection.
"""

from collections.abc import Mapping

HEADERS_FRAME_BYTES = len("NATS/1.0\r\n\r\n")
HEADER_LINE_BYTES = len(": \r\n")


def headers_size(headers: Mapping[str, str] | None) -> int:
    """Return the number of bytes the headers add to a message; 0 without headers."""
    if not headers:
        return 0
    lines = (len(name.encode()) + len(value.encode()) + HEADER_LINE_BYTES for name, value in headers.items())
    return HEADERS_FRAME_BYTES + sum(lines)


def message_size(body: bytes, headers: Mapping[str, str] | None = None) -> int:
    """Return the message size in bytes that counts towards `max_payload` and `max_msg_size`."""
    return len(body) + headers_size(headers)
