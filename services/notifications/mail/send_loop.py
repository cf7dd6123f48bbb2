"""The background task that sends queued mails over a few connections, until the worker stops."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from services.notifications.draining import drain
from services.notifications.mail.sending import CLAIM_LEASE, Mailer, Prepared
from services.notifications.mail.smtp import SEND_SECONDS, SmtpConnection, SmtpServer

log = structlog.get_logger()

CONNECTIONS = 8
"""Connections to the mail server; most providers take ten from one sender."""
CLAIM_NOTIFICATIONS = 20
"""Notifications that one connection takes at a time. They are sent within the lease even if each takes
seconds."""
POLL_SECONDS = 0.5
"""How often the queue is looked at while it is empty."""
SERVER_AWAY_SECONDS = 5.0
"""Pause of a connection whose server does not answer."""
ERROR_SECONDS = 2.0
"""Pause after an unexpected error, such as a database that is away."""


@dataclass(slots=True)
class SendLoop:
    """Sends what is due; several workers can run it at the same time."""

    mailer: Mailer
    server: SmtpServer
    connections: int = CONNECTIONS
    stopping: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def run(self) -> None:
        """Send until cancelled; mails that are being handed over are finished first."""
        lanes = [asyncio.create_task(self._lane()) for _ in range(self.connections)]
        try:
            await asyncio.wait(lanes)
        finally:
            self.stopping.set()
            await drain(lanes)

    async def send_due(self, now: datetime) -> None:
        """Send everything that is due at a moment, and return when that is done."""
        connection = SmtpConnection(self.server)
        try:
            while claimed := await self.mailer.claim(CLAIM_NOTIFICATIONS, now):
                await self._send_all(claimed, connection)
        finally:
            await connection.close()

    async def _lane(self) -> None:
        connection = SmtpConnection(self.server)
        try:
            while not self.stopping.is_set():
                await self._pause(await self._turn(connection))
        finally:
            await connection.close()

    async def _turn(self, connection: SmtpConnection) -> float:
        """Send one batch; return the seconds to wait before the next."""
        try:
            claimed = await self.mailer.claim(CLAIM_NOTIFICATIONS, self.mailer.tools.clock.now())
            is_server_away = await self._send_all(claimed, connection)
        except Exception as error:  # noqa: BLE001 - what was claimed is due again when its lease is over
            log.warning("mails not sent", error=str(error) or type(error).__name__)
            return ERROR_SECONDS
        if is_server_away:
            return SERVER_AWAY_SECONDS
        return 0.0 if claimed else POLL_SECONDS

    async def _send_all(self, claimed: list[Prepared], connection: SmtpConnection) -> bool:
        """Send claimed notifications while their lease lasts; return whether the server is away."""
        end = time.monotonic() + CLAIM_LEASE.total_seconds() - SEND_SECONDS
        is_server_away = False
        for prepared in claimed:
            if self.stopping.is_set() or time.monotonic() > end:
                break
            refused = await self.mailer.send(prepared, connection)
            is_server_away = refused is not None and refused.is_server_away
        return is_server_away

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stopping.wait()
