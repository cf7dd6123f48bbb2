"""How large a message is to NATS, whose limits count the headers and the body together.

nats-py compares the body alone with `max_payload`. A body just below it with a few headers passes that
check, and the server answers by closing the connection.
"""

from collections.abc import Mapping

HEADERS_FRAME_BYTES = len("NATS/1.0\r\n\r\n")
HEADER_LINE_BYTES = len(": \r\n")


def headers_size(headers: Mapping[str, str] | None) -> int:
    """The bytes that headers take in a message; none where there are none."""
    if not headers:
        return 0
    lines = (len(name.encode()) + len(value.encode()) + HEADER_LINE_BYTES for name, value in headers.items())
    return HEADERS_FRAME_BYTES + sum(lines)


def message_size(body: bytes, headers: Mapping[str, str] | None = None) -> int:
    """The bytes of a message that count towards `max_payload` and a stream's `max_msg_size`."""
    return len(body) + headers_size(headers)
