"""Changes of the seat count: seats and subscriptions together, over NATS, with Stripe."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from services.seats.app import service
from services.seats.invitations.tokens import Invitations
from shared.messaging.service_client import ServiceClient
from shared.settings import CommonSettings
from tallystick.messages import seats as m
from tallystick.messages import subscriptions as s
from tallystick.messages.base import Event
from tests.support.answering import answering
from tests.support.runtime import Bound
from tests.support.servers import NatsServer
from tests.support.worlds.seats import ACME, SECRET, SeatWorld, user
from tests.support.worlds.subscriptions import World


@dataclass(slots=True)
class Company(SeatWorld):
    """The seats service together with subscriptions."""

    shop: World = field(kw_only=True)
    heard: dict[str, int] = field(default_factory=dict)

    async def catches_up(self) -> None:
        """Deliver Stripe's events, and the events of subscriptions and seats to each other."""
        await self.shop.catches_up()
        await self._carry(self.shop.bound, self.bound, {"subscription": s.SubscriptionEvent})
        await self._carry(self.shop.bound, self.bound, {"invoice": s.InvoiceEvent})
        await self._carry(self.bound, self.shop.bound, {"billing_team": m.TeamEvent, "seat": m.SeatEvent})

    async def _carry(self, source: Bound, target: Bound, followed: dict[str, type[Event]]) -> None:
        told = await source.feed()
        place = f"{source.service.name}.{sorted(followed)}"
        for subject, body in told[self.heard.get(place, 0) :]:
            model = followed.get(subject.split(".")[2])
            if model is not None:
                event = model.model_validate(body, strict=False)
                await target.hears(event, subject.split(".")[-1].removesuffix("V1"))
        self.heard[place] = len(told)

    async def asks_all(self, team: dict[str, Any]) -> list[dict[str, Any]]:
        """A team's seats."""
        found: list[dict[str, Any]] = (await self.asks(m.ListSeats(team_id=team["team_id"], limit=200)))[
            "items"
        ]
        return found

    def count(self, quantity: int, team: dict[str, Any], **fields: Any) -> m.ChangeSeatCount:
        """Return a command that changes the number of seats."""
        return m.ChangeSeatCount(
            command_id=self.command_id(), team_id=team["team_id"], quantity=quantity, **fields
        )


@pytest.fixture
async def company(
    bind: Callable[..., Bound], world: World, nats_session: NatsServer
) -> AsyncIterator[Company]:
    """Acme has bought ten seats on Stripe's page."""
    await world.buys("team_yearly", quantity=10)
    client = ServiceClient(CommonSettings(nats_url=nats_session.users["seats"]), "seats")
    company = Company(bind(service, Invitations.of(SECRET), client), now=datetime.now(UTC), shop=world)
    await company.catches_up()
    yield company
    await client.close()


def declines_from_now_on(shop: World) -> None:
    """Acme's card is replaced by one that is declined when it is charged."""
    (customer,) = shop.stripe.v1.customers.list().data
    v1 = shop.stripe.v1
    method = v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": customer.id})
    v1.customers.update(customer.id, {"invoice_settings": {"default_payment_method": method.id}})
    for subscription in v1.subscriptions.list({"customer": customer.id}).data:
        v1.subscriptions.update(subscription.id, {"default_payment_method": method.id})


async def own_team(company: Company) -> dict[str, Any]:
    """Acme's team."""
    found: dict[str, Any] = (await company.asks(m.GetTeam(customer=ACME)))["team"]
    return found


async def has_seats(company: Company, team: dict[str, Any], claimed: int, pending: int = 0) -> None:
    """Claim this many seats, and leave this many pending."""
    for number in range(claimed + pending):
        command = await company.assign(f"member{number}@example.com", team_id=team["team_id"])
        invited = await company.does(command)
        if number < claimed:
            await company.does(company.claim(invited["invitation_token"], str(number)))
    await company.catches_up()


async def test_more_seats_are_bought_at_once(company: Company, nats_session: NatsServer) -> None:
    team = await own_team(company)
    assert (team["quantity"], team["available"]) == (10, 10)
    async with answering(company.shop.bound.runtime, nats_session):
        changed = (await company.does(company.count(12, team, when="now", proration="prorate")))["team"]
    assert (changed["quantity"], changed["available"], changed["change"]) == (12, 12, None)
    assert (await company.shop.subscription())["items"][0]["quantity"] == 12
    await company.catches_up()
    assert await own_team(company) == changed


async def test_fewer_seats_than_are_taken_are_refused_with_how_many(company: Company) -> None:
    team = await own_team(company)
    await has_seats(company, team, claimed=5, pending=2)
    before = await own_team(company)
    code, details = await company.refuses(company.count(5, team, when="now"))
    assert (code, details["occupied"]) == ("seats_in_use", 7)
    assert await own_team(company) == before


async def test_as_few_seats_as_are_taken_can_be_kept(company: Company, nats_session: NatsServer) -> None:
    team = await own_team(company)
    await has_seats(company, team, claimed=3)
    async with answering(company.shop.bound.runtime, nats_session):
        changed = (await company.does(company.count(5, team, when="now")))["team"]
    assert (changed["quantity"], changed["available"]) == (5, 2)


async def test_seats_just_freed_count_before_subscriptions_knows(
    company: Company, nats_session: NatsServer
) -> None:
    team = await own_team(company)
    await has_seats(company, team, claimed=4)
    for seat in await company.asks_all(team):
        await company.does(m.RevokeSeat(command_id=company.command_id(), seat_id=seat["seat_id"]))
    async with answering(company.shop.bound.runtime, nats_session):
        changing = asyncio.create_task(company.does(company.count(2, team, when="now")))
        await asyncio.sleep(0)
        await company.catches_up()
        assert (await changing)["team"]["quantity"] == 2


async def test_unused_seats_go_when_the_period_ends_and_limit_already(
    company: Company, nats_session: NatsServer
) -> None:
    team = await own_team(company)
    await has_seats(company, team, claimed=2, pending=1)
    command = m.RemoveUnusedSeats(command_id="remove", team_id=team["team_id"], when="period_end")
    async with answering(company.shop.bound.runtime, nats_session):
        changed = (await company.does(command))["team"]
        assert (changed["quantity"], changed["scheduled_quantity"], changed["available"]) == (10, 3, 0)
        assert (await company.shop.subscription())["scheduled_change"]["quantity"] == 3
        late = await company.assign("late@example.com", team_id=team["team_id"])
        assert (await company.refuses(late))[0] == "no_seat_available"
        versions = changed["version"]
        again = command.model_copy(update={"command_id": "again"})
        assert (await company.does(again))["team"]["version"] == versions
        kept = (await company.does(company.count(10, team)))["team"]
    assert (kept["scheduled_quantity"], kept["available"]) == (None, 7)


async def test_the_same_number_changes_nothing_and_asks_nobody(company: Company) -> None:
    team = await own_team(company)
    assert (await company.does(company.count(10, team)))["team"] == team


async def test_numbers_that_are_not_sold_are_refused(company: Company) -> None:
    team = await own_team(company)
    code, details = await company.refuses(company.count(1001, team))
    assert code == "quantity_out_of_range" and details["maximum"] == 1000


async def test_what_stripe_refuses_is_put_back_with_the_reason(
    company: Company, nats_session: NatsServer
) -> None:
    team = await own_team(company)
    declines_from_now_on(company.shop)
    async with answering(company.shop.bound.runtime, nats_session):
        code, _ = await company.refuses(company.count(20, team, when="now", proration="invoice"))
    assert code == "payment_failed"
    after = await own_team(company)
    assert (after["quantity"], after["available"], after["change"]) == (10, 10, None)
    assert (after["refused_change"]["quantity"], after["refused_change"]["code"]) == (20, "payment_failed")
    assert after["refused_change"]["message"]
    async with answering(company.shop.bound.runtime, nats_session):
        fewer = (await company.does(company.count(8, team, when="now", proration="none")))["team"]
    assert (fewer["quantity"], fewer["refused_change"]) == (8, None), "another was asked for"


async def test_a_team_that_is_closed_changes_no_more(company: Company) -> None:
    team = await own_team(company)
    subscription_id = (await company.shop.subscription())["subscription_id"]
    end = s.CancelSubscription(
        command_id=company.shop.command_id(), subscription_id=subscription_id, at="now"
    )
    await company.shop.does(end)
    await company.catches_up()
    closed = await own_team(company)
    assert (closed["team_id"], closed["status"], closed["available"]) == (team["team_id"], "closed", 0)
    for message in (
        company.count(12, team),
        m.RemoveUnusedSeats(command_id=company.command_id(), team_id=team["team_id"]),
        m.PreviewSeatChange(team_id=team["team_id"], quantity=12),
        m.TransferBillingManager(command_id=company.command_id(), team_id=team["team_id"], member=user("7")),
        await company.assign("late@example.com", team_id=team["team_id"]),
    ):
        assert (await company.refuses(message))[0] == "team_closed", message
    assert await own_team(company) == closed


async def test_a_pending_change_limits_seats_until_it_is_finished(
    company: Company, nats_session: NatsServer
) -> None:
    team = await own_team(company)
    command = company.count(4, team, when="now")
    outcome = await company.bound.handle(command, company.now)
    assert outcome.status == "failed"
    waiting = await own_team(company)
    assert waiting["change"]["quantity"] == 4
    assert (waiting["quantity"], waiting["available"]) == (10, 4)
    other = await company.bound.handle(company.count(12, team), company.now)
    assert other.status == "failed"
    for number in range(4):
        await company.does(await company.assign(f"member{number}@example.com", team_id=team["team_id"]))
    fifth = await company.assign("fifth@example.com", team_id=team["team_id"])
    assert (await company.refuses(fifth))[0] == "no_seat_available"
    async with answering(company.shop.bound.runtime, nats_session):
        unfinished = await company.bound.runtime.unfinished(datetime.now(UTC), 10)
        assert len(unfinished) == 1
        for handler, body in unfinished:
            await company.bound.runtime.finish(handler, body, company.now)
    done = await own_team(company)
    assert (done["quantity"], done["available"], done["change"]) == (4, 0, None)
    assert (await company.does(command))["team"]["quantity"] == 4


@pytest.mark.parametrize("is_heard_first", [False, True])
async def test_a_crash_after_the_subscription_changed_changes_once(
    company: Company, nats_session: NatsServer, monkeypatch: pytest.MonkeyPatch, is_heard_first: bool
) -> None:
    team = await own_team(company)
    command = company.count(12, team, when="now")
    async with answering(company.shop.bound.runtime, nats_session):
        with monkeypatch.context() as crashing:
            crashing.setattr(
                "services.seats.seat_count.change_seat_count.SeatCountChange._record_change", _crash
            )
            assert (await company.bound.handle(command, company.now)).status == "failed"
        assert (await company.shop.subscription())["items"][0]["quantity"] == 12
        if is_heard_first:
            await company.catches_up()
        changed = (await company.does(command))["team"]
    assert (changed["quantity"], changed["change"]) == (12, None)
    assert (await company.events("billing_team"))[-1] == ("changedV1", changed)
    names = await company.shop.names("subscription")
    assert names.count("changedV1") == 1


async def test_a_crash_after_a_rejection_repeats_the_rejection(
    company: Company, nats_session: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = await own_team(company)
    declines_from_now_on(company.shop)
    command = company.count(20, team, when="now", proration="invoice")
    async with answering(company.shop.bound.runtime, nats_session):
        with monkeypatch.context() as crashing:
            crashing.setattr("shared.messaging.external_command.ExternalCommandSteps.reject", _crash)
            assert (await company.bound.handle(command, company.now)).status == "failed"
        assert (await company.refuses(command))[0] == "payment_failed"
    assert (await own_team(company))["change"] is None


async def _crash(*_: Any) -> None:
    raise ConnectionResetError


async def test_a_preview_shows_what_the_change_costs(company: Company, nats_session: NatsServer) -> None:
    team = await own_team(company)
    question = m.PreviewSeatChange(team_id=team["team_id"], quantity=12, when="now", proration="invoice")
    async with answering(company.shop.bound.runtime, nats_session):
        preview = await company.asks(question)
        assert preview["quantity"] == 12 and preview["due_now"]["amount"] > 0
        await company.does(company.count(12, team, when="now", proration="invoice"))
    await company.catches_up()
    invoices = (await company.shop.asks(s.ListInvoices(customer=ACME)))["items"]
    assert invoices[0]["total"] == preview["due_now"]["amount"]
    assert (await company.refuses(question.model_copy(update={"quantity": 1001})))[0] == (
        "quantity_out_of_range"
    )


async def test_what_each_seat_costs_comes_to_the_invoice(company: Company) -> None:
    team = await own_team(company)
    await has_seats(company, team, claimed=2, pending=1)
    payments = await company.asks(m.MemberPayments(team_id=team["team_id"]))
    # Five at 100.00 and five at 80.00.
    assert (payments["total"], payments["currency"]) == (90_000, "eur")
    assert [(one["holder"], one["seats"], one["amount"]) for one in payments["items"]] == [
        ("owner", 1, 0),
        ("seat", 1, 9_000),
        ("seat", 1, 9_000),
        ("seat", 1, 9_000),
        ("unassigned", 7, 63_000),
    ]
    paged, cursor = [], None
    for _ in range(3):
        page = await company.asks(m.MemberPayments(team_id=team["team_id"], limit=1, cursor=cursor))
        paged += page["items"]
        cursor = page["next_cursor"]
    assert cursor is None and paged == payments["items"]
