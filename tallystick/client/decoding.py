"""A NATS client that no stored message can stop, and that sends no password in the clear where TLS is wanted.

nats-server takes any bytes in a subject and any headers. nats-py decodes subject and reply in its read loop,
and one that is not UTF-8 ends that loop: the connection stays open and nothing is heard on it any more. It
also takes a stored message without a body for a status of the server's where it has a header `Status`, and
never hands it out. And it goes on without TLS, password and all, where the URL says `tls://` and the server,
or somebody in between, offers none.
"""

from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from tallystick.client.tls import TLS_SCHEME

DELIVERY_REPLY = b"$JS.ACK."
"""How the reply of a message begins that JetStream delivers; a status has none."""
STATUS_HEADER = "Status"


class AnyMessageClient(Client):
    """nats-py's client; bytes of a subject or reply that are not UTF-8 are read as U+FFFD.

    A delivered message has no header `Status`. A server named as `tls://…` that offers no TLS is refused.
    """

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        # Asked before anything is sent, at each connection anew.
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
