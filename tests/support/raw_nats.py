"""Raw bytes to NATS, as no client library would send them."""

import asyncio
import json
from urllib.parse import urlsplit


async def publish_raw(url: str, *messages: tuple[bytes, bytes, bytes, bytes]) -> None:
    """Publish messages of (subject, reply, headers, body), each in any bytes, as the user of the URL.

    Headers are the whole block, `NATS/1.0` and all; none where it is empty.
    """
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        await reader.readline()
        login = {"user": parts.username, "pass": parts.password, "headers": True, "verbose": False}
        writer.write(b"CONNECT %s\r\n" % json.dumps(login).encode())
        for subject, reply, headers, body in messages:
            to = subject + (b" " + reply if reply else b"")
            if headers:
                sizes = b"%d %d" % (len(headers), len(headers) + len(body))
                writer.write(b"HPUB %s %s\r\n%s%s\r\n" % (to, sizes, headers, body))
            else:
                writer.write(b"PUB %s %d\r\n%s\r\n" % (to, len(body), body))
        writer.write(b"PING\r\n")
        answer = await reader.readline()
        if not answer.startswith(b"PONG"):
            raise AssertionError(f"NATS says {answer!r}")
    finally:
        writer.close()
        await writer.wait_closed()
