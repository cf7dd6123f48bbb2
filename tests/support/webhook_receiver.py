"""A real HTTP server that receives webhooks, and can be told to fail, to be slow, or to redirect."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tallystick.tasks import end


@dataclass(slots=True)
class ReceivedWebhook:
    """A webhook as it came in."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class WebhookReceiver:
    """What was received, and what is answered."""

    port: int = 0
    received: list[ReceivedWebhook] = field(default_factory=list)
    count: int = 0
    """How many were received, also those that are not kept."""
    is_kept: bool = True
    status: int = 200
    statuses: list[int] = field(default_factory=list)
    """Statuses of the next answers, before `status`."""
    answer: bytes = b"thanks"
    headers: str = ""
    hangs: Callable[[str], bool] = field(default=lambda _: False)
    """Paths that are not answered until `released` is set."""
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str = "/hooks") -> str:
        """The URL of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                first, *lines = head.rstrip().split("\r\n")
                headers = {
                    name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)
                }
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                path = first.split(" ")[1]
                self.count += 1
                if self.is_kept:
                    self.received.append(ReceivedWebhook(path, headers, body))
                if self.hangs(path):
                    await self.released.wait()
                status = self.statuses.pop(0) if self.statuses else self.status
                length = f"content-length: {len(self.answer)}"
                writer.write(f"HTTP/1.1 {status} X\r\n{self.headers}{length}\r\n\r\n".encode() + self.answer)
                await writer.drain()


@asynccontextmanager
async def webhook_receiver() -> AsyncIterator[WebhookReceiver]:
    """Run a receiver on a free port."""
    receiver = WebhookReceiver()
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            with suppress(asyncio.CancelledError):
                await receiver.serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        await end(*connections)
        await asyncio.sleep(0)  # transports are closed in the next turn of the loop
