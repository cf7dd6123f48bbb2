"""The pages while a service is unavailable: they show the rest and name what is missing."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tallystick.messages.base import Customer
from tests.support.gateway import ADMIN, READ, GatewaySystem
from tests.support.page_visitor import visiting
from tests.support.shop import Shop, fresh_id

NOT_NOW = "This cannot be shown just now."
TEAM, TEAMS = 'data-live="team"', 'data-live="teams"'

pytestmark = pytest.mark.timeout(120)


@asynccontextmanager
async def away(gateway: GatewaySystem, service: str) -> AsyncIterator[None]:
    """Suspend a service for the block."""
    worker = gateway.system.stack.children[service].pid
    os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker, signal.SIGCONT)


def section(page: str, mark: str) -> str:
    """One section of a page."""
    return page.partition(mark)[2].partition("</section>")[0]


async def test_operators_see_who_is_silent_whoever_it_is(gateway: GatewaySystem) -> None:
    operator = Customer(type="user", id=fresh_id("operator"))
    async with visiting(gateway, operator, ADMIN) as visitor, away(gateway, "subscriptions"):
        answer = await visitor.http.get("/admin")
    assert answer.status_code == 200
    assert "silent" in section(answer.text, 'aria-labelledby="health"')
    for part in ("customers", "subscriptions"):
        assert NOT_NOW in section(answer.text, f'aria-labelledby="{part}"')


async def test_a_form_gets_a_page_even_when_its_own_is_unavailable(
    gateway: GatewaySystem, shop: Shop
) -> None:
    await shop.register()
    await shop.buys("essential_monthly")
    async with visiting(gateway, shop.acme) as visitor:
        form = await visitor.form("/billing/cancel", "/billing/cancel")
        async with away(gateway, "subscriptions"):
            answers = await asyncio.gather(
                visitor.http.get("/billing/plans"), visitor.send("/billing/cancel", form)
            )
    for answer in answers:
        assert (answer.status_code, answer.headers["content-type"]) == (503, "text/html; charset=utf-8")
        assert "Please try again in a moment" in answer.text


async def test_a_team_that_cannot_be_seen_is_not_taken_for_none(gateway: GatewaySystem, shop: Shop) -> None:
    await shop.register()
    await shop.buys("essential_monthly")
    person = Customer(type="user", id=fresh_id("person"))
    async with (
        visiting(gateway, shop.acme) as visitor,
        visiting(gateway, shop.acme, member=person.token) as member,
        visiting(gateway, person, READ) as holder,
        away(gateway, "seats"),
    ):
        pages = await asyncio.gather(
            visitor.http.get("/billing"), member.http.get("/billing"), holder.http.get("/my")
        )
        page, as_member, own = (answer.raise_for_status().text for answer in pages)
        assert NOT_NOW in section(page, TEAM)
        assert "Change plan" in page
        # It is unknown whether this person manages a team, so team actions are not offered.
        assert "Change plan" not in as_member
        assert NOT_NOW in section(own, TEAMS)
