"""Fixtures of the tests of notifications."""

from collections.abc import AsyncIterator, Callable

import pytest

from tests.support.runtime import Bound
from tests.support.smtp_server import SmtpServer, smtp_server
from tests.support.webhook_receiver import WebhookReceiver, webhook_receiver
from tests.support.worlds.notifications import NotificationsWorld, notifications_world


@pytest.fixture
async def smtp() -> AsyncIterator[SmtpServer]:
    """A mail server."""
    async with smtp_server() as server:
        yield server


@pytest.fixture
async def mails(bind: Callable[..., Bound], smtp: SmtpServer) -> AsyncIterator[NotificationsWorld]:
    """The notifications service."""
    async with notifications_world(bind, smtp) as world:
        yield world


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    """A receiver of webhooks."""
    async with webhook_receiver() as running:
        yield running
