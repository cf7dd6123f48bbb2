"""SMTP side of the mail catcher: takes every mail for every address."""

from __future__ import annotations

import asyncio
import email
import email.policy
import logging

from aiosmtpd.smtp import SMTP, Envelope, Session

from sandbox.mailbox.storage import Storage

SIZE_MAX_BYTES = 10 * 1024 * 1024
log = logging.getLogger("sandbox.mailbox")


class Catcher:
    """Handler of aiosmtpd that stores mails."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Store a mail."""
        content = envelope.original_content or b""
        headers = email.message_from_bytes(content, policy=email.policy.default)
        self._storage.add(
            envelope.mail_from or "", envelope.rcpt_tos, str(headers.get("Subject", "")), content
        )
        return "250 Message accepted"


async def serve_smtp(storage: Storage, host: str, port: int) -> asyncio.Server:
    """Listen for SMTP."""
    logging.getLogger("mail.log").setLevel(logging.ERROR)

    def session() -> SMTP:
        return SMTP(
            Catcher(storage), data_size_limit=SIZE_MAX_BYTES, enable_SMTPUTF8=True, hostname="mailbox"
        )

    return await asyncio.get_running_loop().create_server(session, host, port)
