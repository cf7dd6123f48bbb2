"""A real browser without a window: Debian's Chromium, driven by Playwright."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# It only opens our own pages, and runs as root in containers.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
PATIENCE_MS = 20_000
"""For a page of ours; a machine with one busy core takes seconds."""


def chromium() -> str:
    """Where the browser is; skips the test where there is none."""
    found = os.environ.get("CHROMIUM_PATH") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium: `apt-get install chromium`, or set CHROMIUM_PATH")
    return found


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A browser for one test."""
    path = chromium()
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield running
        finally:
            await running.close()


async def open_page(running: Browser, **context: Any) -> Page:
    """A page with a profile of its own, not signed in."""
    page = await (await running.new_context(**context)).new_page()
    page.set_default_timeout(PATIENCE_MS)
    return page


async def overflow(page: Page) -> int:
    """By how many pixels a page is wider than the window."""
    width: int = await page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return width
