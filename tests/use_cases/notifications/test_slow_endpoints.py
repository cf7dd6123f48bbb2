"""The loop that sends webhooks: one dead endpoint delays none of the others."""

import asyncio
from datetime import UTC, datetime

from services.notifications.deliveries.deliverer import Deliverer, DeliveryTools
from services.notifications.deliveries.queue import PER_ENDPOINT_MAX, claim_due
from tallystick.messages import notifications as m
from tallystick.tasks import end
from tests.support.waiting import eventually
from tests.support.webhook_receiver import WebhookReceiver
from tests.support.worlds.notifications import NotificationsWorld

ENDPOINTS, EVENTS = 50, 8


async def test_one_dead_endpoint_among_fifty_delays_none(
    mails: NotificationsWorld, receiver: WebhookReceiver
) -> None:
    mails.now = mails.bound.now = datetime.now(UTC)
    receiver.hangs = lambda path: path == "/0"
    first = ""
    for number in range(ENDPOINTS):
        url = receiver.url(f"/{number}")
        created = await mails.does(m.CreateEndpoint(command_id=f"c-{number}", url=url, events=["seat.*"]))
        first = first or created["endpoint"]["endpoint_id"]
    # The dead one is the first in every order, and has a backlog.
    for number in range(EVENTS):
        await mails.happens(mails.seat(seat_id=f"seat_{number}"), "assigned")
    tools: DeliveryTools = mails.bound.runtime.provided[DeliveryTools]
    running = asyncio.create_task(Deliverer(mails.bound.runtime.transactions, tools).run())

    async def are_delivered() -> bool:
        query = "SELECT count(*) AS number FROM notifications.deliveries WHERE status = 'succeeded'"
        return bool((await mails.bound.rows(query))[0]["number"] == (ENDPOINTS - 1) * EVENTS)

    try:
        await eventually(are_delivered, within_seconds=30, every_seconds=0.1)
        dead = [row for row in await mails.deliveries() if row["status"] != "succeeded"]
        assert len(dead) == EVENTS
        assert {row["endpoint_id"] for row in dead} == {first}
        # Sooner than the dead endpoint's first webhooks were given up.
        assert {row["last_attempt_at"] for row in dead} == {None}
    finally:
        receiver.released.set()
        await end(running)


async def test_places_go_to_the_endpoints_that_have_the_fewest(
    mails: NotificationsWorld, receiver: WebhookReceiver
) -> None:
    # The first endpoint has a backlog, and webhooks on their way already; the others have one each.
    ids = []
    for number in range(3):
        events = ["seat.*"] if number == 0 else ["seat.claimed"]
        command = m.CreateEndpoint(command_id=f"c-{number}", url=receiver.url(), events=events)
        ids.append((await mails.does(command))["endpoint"]["endpoint_id"])
    for number in range(EVENTS):
        await mails.happens(mails.seat(seat_id=f"seat_{number}"), "assigned")
    await mails.happens(mails.seat(seat_id="seat_0", version=2, status="claimed"), "claimed")
    busy = {ids[0]: PER_ENDPOINT_MAX - 4}
    claimed = await claim_due(mails.bound.runtime.transactions, mails.now, busy, 3)
    assert sorted(one.endpoint_id for one in claimed) == ids
