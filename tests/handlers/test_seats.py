"""Seats through their life: assigned, claimed, invited again, passed on, revoked."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from services.seats.app import service
from services.seats.invitations import Invitations
from shared.asking import Asking
from shared.settings import CommonSettings
from tallystick.messages import seats as m
from tests.handlers.seat_world import ACME, SECRET, SeatWorld, user
from tests.support.runtime import Bound


@pytest.fixture
def company(bind: Callable[..., Bound]) -> SeatWorld:
    """Seats, with nobody to ask."""
    settings = CommonSettings(nats_url="nats://127.0.0.1:1")
    return SeatWorld(bind(service, Invitations.of(SECRET), Asking(settings, "seats")))


async def test_five_bought_seats_make_room_for_five_beside_the_owner(company: SeatWorld) -> None:
    team = await company.subscribed(5)
    assert (team["capacity"], team["occupied"], team["available"]) == (6, 1, 5)
    for number in range(5):
        await company.invites(f"member{number}@example.com")
    code, details = await company.refuses(await company.assign("sixth@example.com"))
    assert (code, details) == ("no_seat_available", {"quantity": 5, "occupied": 6})
    assert (await company.team())["available"] == 0
