"""The connection to the mail server, and what became of a mail that was handed over."""

import asyncio
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import aiosmtplib

from services.notifications.domain.retries import SESSION_REPLIES, Stage, Verdict, judge_reply

OPERATION_SECONDS = 20.0
"""How long the server may take for one reply."""
SEND_SECONDS = 45.0
"""How long one mail may take in all, connecting included; then it is tried again later."""
IDLE_SECONDS = 20.0
"""A connection that was unused for this long is opened anew: servers close idle ones."""
ERROR_MAX_CHARACTERS = 300
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
DEFAULT_PORTS = {"smtp": 587, "smtps": 465}


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """A mail server, as in `SMTP_URL`."""

    host: str
    port: int
    username: str | None
    password: str | None
    is_tls: bool
    needs_starttls: bool

    @classmethod
    def of(cls, url: str) -> "SmtpServer":
        """Parse a URL; raises ValueError without showing it, because it has a password.

        `smtps://` speaks TLS from the start. `smtp://` changes to TLS where the server offers it, and must
        before a password is sent, except to this machine.
        """
        parts = urlsplit(url)
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
            raise ValueError("SMTP_URL must look like smtps://user:password@host:465")
        username = unquote(parts.username) if parts.username else None
        is_tls = parts.scheme == "smtps"
        return cls(
            parts.hostname,
            parts.port or DEFAULT_PORTS[parts.scheme],
            username,
            unquote(parts.password) if parts.password else None,
            is_tls,
            needs_starttls=not is_tls and username is not None and parts.hostname not in LOOPBACK_HOSTS,
        )


@dataclass(frozen=True, slots=True)
class Delivered:
    """The server has taken the mail."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The server has not taken the mail, or it is not known whether it has."""

    verdict: Verdict
    error: str
    """The server's words, without the mail's contents."""
    is_server_away: bool = False
    """Whether the next mail would fare no better just now."""


class SmtpConnection:
    """One connection to the mail server, opened when it is needed and used for many mails."""

    def __init__(self, server: SmtpServer) -> None:
        self._server = server
        self._client: aiosmtplib.SMTP | None = None
        self._used_at = 0.0

    async def send(self, sender: str, to: str, message: bytes) -> Delivered | Refused:
        """Hand over a mail; never raises."""
        try:
            async with asyncio.timeout(SEND_SECONDS):
                client = await self._open()
                await client.sendmail(sender, [to], message)
        except aiosmtplib.SMTPRecipientsRefused as error:
            refusal = error.recipients[0]
            return _refused("recipient", refusal.code, refusal.message)
        except aiosmtplib.SMTPResponseException as error:
            stage = _stage(error)
            if stage == "session":
                await self.close()
            return _refused(stage, error.code, error.message)
        except (aiosmtplib.SMTPException, OSError, TimeoutError, ValueError) as error:
            await self.close()
            # After a cut line it is not known whether the mail was taken; it is sent again with the same
            # Message-ID.
            problem = f"{type(error).__name__}: {error}"[:ERROR_MAX_CHARACTERS]
            return Refused("retry", problem, is_server_away=True)
        self._used_at = time.monotonic()
        return Delivered()

    async def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        if client is None:
            return
        with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
            async with asyncio.timeout(1.0):
                await client.quit()
        client.close()

    async def _open(self) -> aiosmtplib.SMTP:
        if self._client is not None and time.monotonic() - self._used_at > IDLE_SECONDS:
            await self.close()
        if self._client is None or not self._client.is_connected:
            server = self._server
            client = aiosmtplib.SMTP(
                hostname=server.host,
                port=server.port,
                username=server.username,
                password=server.password,
                use_tls=server.is_tls,
                start_tls=True if server.needs_starttls else (False if server.is_tls else None),
                timeout=OPERATION_SECONDS,
                tls_context=ssl.create_default_context() if server.is_tls or server.needs_starttls else None,
                local_hostname="tallystick",
            )
            await client.connect()
            self._client, self._used_at = client, time.monotonic()
        return self._client


def _stage(error: aiosmtplib.SMTPResponseException) -> Stage:
    if isinstance(error, aiosmtplib.SMTPSenderRefused):
        return "sender"
    if isinstance(error, aiosmtplib.SMTPRecipientRefused):
        return "recipient"
    return "data" if isinstance(error, aiosmtplib.SMTPDataError) else "session"


def _refused(stage: Stage, code: int, text: str) -> Refused:
    verdict = judge_reply(stage, code, text)
    problem = f"{code} {' '.join(text.split())}"[:ERROR_MAX_CHARACTERS]
    return Refused(verdict, problem, is_server_away=stage == "session" or code in SESSION_REPLIES)
