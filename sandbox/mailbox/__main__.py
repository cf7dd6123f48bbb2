"""Entry point of `python -m sandbox.mailbox`, which starts the mail catcher."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from sandbox.mailbox.smtp_server import serve_smtp
from sandbox.mailbox.storage import Storage
from sandbox.mailbox.web import make_app


def main() -> None:
    """Parse the command line and serve until stopped."""
    parser = argparse.ArgumentParser(prog="sandbox.mailbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="of the page and the JSON API")
    parser.add_argument("--smtp-port", type=int, required=True)
    parser.add_argument("--state", type=Path, help="SQLite file with the mails; default: in memory")
    options = parser.parse_args()
    storage = Storage(str(options.state) if options.state else None)

    @asynccontextmanager
    async def with_smtp(_: Starlette) -> AsyncIterator[None]:
        server = await serve_smtp(storage, options.host, options.smtp_port)
        yield
        server.close()
        await asyncio.sleep(0)

    app = make_app(storage)
    app.router.lifespan_context = with_smtp
    uvicorn.run(app, host=options.host, port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
