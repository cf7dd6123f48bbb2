"""nats-py client that survives malformed messages and refuses to send credentials without TLS.

nats-server accepts any bytes in a subject and any headers. nats-py decodes subject and reply in its read
loop: one that is not UTF-8 ends the loop, and the connection stays open without receiving anything. It also
mistakes a stored message without a body for a status message when it has a header `Status`, and never
delivers it. And it continues without TLS, sending the password in the clear, when the URL says `tls://` and
the server, or an attacker in between, offers none.
"""

from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from tallystick.client.tls import TLS_SCHEME

DELIVERY_REPLY = b"$JS.ACK."
"""Prefix of the reply subject of a JetStream delivery; a status message has none."""
STATUS_HEADER = "Status"


class AnyMessageClient(Client):
    """nats-py client that replaces invalid UTF-8 in a subject or reply with U+FFFD.

    It removes the header `Status` from deliveries, and refuses a server of a `tls://` URL that offers no TLS.
    """

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        # Checked on each connection, before anything is sent.
        server = self._current_server
        wants_tls = server is not None and server.uri.scheme == TLS_SCHEME
        if initial_connection and wants_tls and not info.get("tls_required"):
            raise nats.errors.Error("nats: the URL asks for TLS and the server offers none")
        await super()._process_info(info, initial_connection)

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg:
        if headers and STATUS_HEADER in headers and reply.startswith(DELIVERY_REPLY):
            del headers[STATUS_HEADER]
        message: Msg = super()._build_message(sid, _as_utf8(subject), _as_utf8(reply), data, headers)
        return message


def _as_utf8(raw: bytes) -> bytes:
    raw = bytes(raw)
    return raw if raw.isascii() else raw.decode(errors="replace").encode()
