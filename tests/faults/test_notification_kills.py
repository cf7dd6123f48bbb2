"""The notifications worker is killed again and again while mails and webhooks are sent: none is lost."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import psycopg
import pytest

import tallystick
from tallystick.messages import notifications as m
from tallystick.messages import seats as s
from tallystick.messages import subscriptions
from tallystick.messages.base import Customer
from tallystick.messages.catalog import ApplyCatalog
from tests.support.catalogs import example_catalog
from tests.support.stack import System, whole_system
from tests.support.waiting import eventually
from tests.support.webhook_receiver import webhook_receiver

ACME = Customer(type="organization", id="acme")
SEATS, KILLS = 120, 4
DONE_SECONDS = 60.0
LEASES_ARE_OVER = (
    "UPDATE notifications.notifications SET next_attempt_at = now() WHERE status = 'queued'",
    "UPDATE notifications.deliveries SET next_attempt_at = now() WHERE status = 'pending'",
)
"""What a killed worker had claimed is due again; nobody waits two minutes for it here."""

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    """A system whose processes the test may kill."""
    with ExitStack() as processes:
        yield processes.enter_context(whole_system())


async def test_every_mail_and_webhook_arrives_and_mails_only_once(system: System) -> None:
    stack = system.stack
    async with tallystick.connect(stack.nats.users["client"]) as billing, webhook_receiver() as receiver:
        await billing.call(ApplyCatalog(command_id="catalog", catalog=example_catalog()))
        await billing.call(
            subscriptions.RegisterCustomer(command_id="register", customer=ACME, email="pay@acme.example")
        )
        endpoint = m.CreateEndpoint(command_id="endpoint", url=receiver.url(), events=["seat.assigned"])
        await billing.call(endpoint)
        team = await _opens(billing)
        for number in range(KILLS):
            people = [s.SeatToAssign(email=f"p{number}-{seat}@example.com") for seat in range(SEATS // KILLS)]
            await billing.call(s.AssignSeats(command_id=f"a-{number}", team_id=team, seats=people))
            await asyncio.sleep(0.2 * number)  # somewhere else in the work each time
            stack.kill("notifications")
            await _end_leases(stack.owner_url)
            stack.restart("notifications")
            stack.wait_until_ready("notifications")
        wanted = {
            f"p{number}-{seat}@example.com" for number in range(KILLS) for seat in range(SEATS // KILLS)
        }

        async def are_sent() -> bool:
            return (await _statuses(stack.owner_url)) == Counter({"sent": SEATS})

        await eventually(are_sent, within_seconds=DONE_SECONDS, every_seconds=0.5)
        mails = await _mails(system)
        assert {mail["to"] for mail in mails} == wanted
        ids = Counter(mail["message_id"] for mail in mails)
        # A mail that was repeated after a kill between the server's 250 and the commit is the same mail.
        assert len(ids) == SEATS
        assert sum(ids.values()) - SEATS <= KILLS * 8
        got: Any = await eventually(lambda: _events(receiver.received, SEATS), within_seconds=DONE_SECONDS)
        assert len(got) == SEATS


async def _opens(billing: tallystick.Client) -> str:
    created = await billing.call(
        subscriptions.CreateSubscription(
            command_id="create",
            customer=ACME,
            items=[subscriptions.ItemToBuy(price="team_monthly", quantity=SEATS)],
            collection="none",
        )
    )
    question = s.GetTeam(subscription_id=created.subscription.subscription_id)

    async def team() -> str | None:
        outcome = await billing.answer(question)
        return (await billing.ask(question)).team.team_id if outcome.status == "succeeded" else None

    found: str = await eventually(team)
    return found


async def _end_leases(url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        for statement in LEASES_ARE_OVER:
            await connection.execute(statement)


async def _statuses(url: str) -> Counter[str]:
    query = "SELECT status, count(*) FROM notifications.notifications WHERE kind = 'invitation' GROUP BY 1"
    async with await psycopg.AsyncConnection.connect(url) as connection:
        return Counter(dict(await (await connection.execute(query)).fetchall()))


async def _mails(system: System) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await client.get(
            f"{system.mailbox_url}/api/messages", params={"subject": "invites you", "limit": "1000"}
        )
        found: list[dict[str, Any]] = answer.json()
        return found


def _events(received: list[Any], number: int) -> set[str] | None:
    ids = {webhook.headers["webhook-id"] for webhook in received}
    return ids if len(ids) >= number else None
