"""A real SMTP server for tests, which can be told to refuse, to be slow, or to cut the line."""

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Literal

from aiosmtpd.smtp import SMTP, Envelope, Session

CUT = "cut"
"""In place of a reply: the server closes the connection."""


@dataclass(slots=True)
class CaughtMail:
    """A mail that the server has taken."""

    to: str
    sender: str
    message: EmailMessage
    content: bytes

    @property
    def text(self) -> str:
        """The text part."""
        part = self.message.get_body(("plain",))
        return str(part.get_content()) if part else ""

    @property
    def html(self) -> str:
        """The HTML part."""
        part = self.message.get_body(("html",))
        return str(part.get_content()) if part else ""


@dataclass(slots=True)
class SmtpServer:
    """The server's port, what it has taken, and what it says next."""

    port: int = 0
    mails: list[CaughtMail] = field(default_factory=list)
    replies_to_recipient: list[str] = field(default_factory=list)
    """Replies to the next RCPT commands, in place of 250."""
    replies_to_data: list[str] = field(default_factory=list)
    """Replies to the next mails, in place of 250; a mail is taken all the same before `cut`."""
    takes_before_cutting: bool = True
    delay_seconds: float = 0.0
    holds_at: Literal["RCPT", "DATA"] | None = None
    """The command that is not answered until `released` is set; `reached` is set when it has come."""
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0
    most_at_once: int = 0
    _open: int = 0

    @property
    def url(self) -> str:
        """The server's URL."""
        return f"smtp://127.0.0.1:{self.port}"

    def to(self, address: str) -> list[CaughtMail]:
        """The mails to an address."""
        return [mail for mail in self.mails if mail.to == address]

    async def hold(self, command: str) -> None:
        """Wait for `released` if this command is held."""
        if command == self.holds_at:
            self.reached.set()
            await self.released.wait()

    def session(self) -> SMTP:
        """A protocol for a new connection."""
        self.connections += 1
        return SMTP(_Handler(self), hostname="mail.test", enable_SMTPUTF8=True)


class _Handler:
    def __init__(self, server: SmtpServer) -> None:
        self._server = server

    async def handle_RCPT(  # noqa: N802
        self, protocol: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        await self._server.hold("RCPT")
        replies = self._server.replies_to_recipient
        reply = replies.pop(0) if replies else "250 OK"
        if reply == CUT:
            _cut(protocol)
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, protocol: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        server = self._server
        server._open += 1
        server.most_at_once = max(server.most_at_once, server._open)
        if server.delay_seconds:
            await asyncio.sleep(server.delay_seconds)
        await server.hold("DATA")
        server._open -= 1
        reply = server.replies_to_data.pop(0) if server.replies_to_data else "250 OK"
        if reply.startswith("250") or (reply == CUT and server.takes_before_cutting):
            content = envelope.original_content or b""
            message = email.message_from_bytes(content, policy=email.policy.default)
            assert isinstance(message, EmailMessage)
            server.mails.append(CaughtMail(envelope.rcpt_tos[0], envelope.mail_from or "", message, content))
        if reply == CUT:
            _cut(protocol)
        return reply


def _cut(protocol: SMTP) -> None:
    assert protocol.transport is not None
    protocol.transport.close()


@asynccontextmanager
async def smtp_server() -> AsyncIterator[SmtpServer]:
    """Run a server on a free port."""
    server = SmtpServer()
    listening = await asyncio.get_running_loop().create_server(server.session, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
