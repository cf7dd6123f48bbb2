"""The invariants of the service on correct and on corrupted data."""

from collections.abc import AsyncIterator

import psycopg
import pytest
from nats.aio.client import Client
from psycopg.rows import dict_row

from services.notifications import invariants
from shared.operations import audit_helpers
from shared.operations.audit import LiveSystem
from tallystick.messages import notifications as m
from tallystick.subjects import Subjects
from tests.support.webhook_receiver import WebhookReceiver
from tests.support.worlds.notifications import ACME, NotificationsWorld


@pytest.fixture
async def live(
    mails: NotificationsWorld, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[LiveSystem]:
    """A mail that was sent, one that failed, and an endpoint with a delivery."""
    # What is wrong in these tests stays wrong: one second look is enough.
    monkeypatch.setattr(audit_helpers, "PENDING_MAX_SECONDS", audit_helpers.RETRY_SECONDS)
    await mails.does(m.CreateEndpoint(command_id="c1", url=receiver.url(), events=["*"], customer=ACME))
    mails.smtp.replies_to_data = ["554 refused"]
    for seat in ("seat_1", "seat_2"):
        event = mails.seat(seat_id=seat, caused_by=seat)
        await mails.hears(event, "assigned")
        await mails.happens(event, "assigned")
    await mails.sends()
    await mails.delivers()
    link = mails.links.sign(ACME.token, "seat_claimed", mails.now)
    await mails.does(m.SetPreferences(command_id="p1", link=link, language="de"))
    database = await psycopg.AsyncConnection.connect(
        mails.bound.owner_url, autocommit=True, row_factory=dict_row
    )
    yield LiveSystem(database, Client(), Subjects())
    await database.close()


async def broken(live: LiveSystem) -> set[str]:
    """The names of the violated invariants."""
    return {one.name for one in invariants.INVARIANTS if await one.violations(live)}


async def test_all_is_well_with_what_the_service_does(live: LiveSystem) -> None:
    assert await broken(live) == set()


SECRET = "whsec_" + "A" * 43 + "="


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("UPDATE notifications.notifications SET version = 9", "rows are at the version that was told last"),
        ("UPDATE notifications.endpoints SET version = 9", "rows are at the version that was told last"),
        (
            "UPDATE notifications.notifications SET email = NULL WHERE status = 'sent'",
            "sent mails have an address, failed ones a reason",
        ),
        (
            "UPDATE notifications.deliveries SET status = 'pending', next_attempt_at = '2026-01-01'",
            "no mail and no webhook is long overdue",
        ),
        (
            f"UPDATE notifications.inbox SET body = json_build_object('secret', '{SECRET}')",
            "no endpoint's secret is kept in clear",
        ),
        (f"UPDATE notifications.endpoints SET secret = '{SECRET}'", "no endpoint's secret is kept in clear"),
    ],
)
async def test_damage_is_found(live: LiveSystem, mails: NotificationsWorld, damage: str, told: str) -> None:
    await mails.bound.execute(damage)
    assert await broken(live) == {told}
