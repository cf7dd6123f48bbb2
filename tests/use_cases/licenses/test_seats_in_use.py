"""Seats that machines report to be in use are not sold back, whichever command changes the subscription."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from services.licenses.app import service as licenses
from services.subscriptions.app import service as subscriptions
from services.subscriptions.lifecycle.seat_quota import SeatQuota
from shared.messaging.service_client import ServiceClient
from shared.settings import CommonSettings
from tallystick.messages import licenses as m
from tallystick.messages import subscriptions as s
from tests.support.answering import answering
from tests.support.runtime import Bound
from tests.support.servers import NatsServer
from tests.support.worlds.licenses import ACME, LicenseWorld, provided
from tests.support.worlds.subscriptions import OpenShop, World

TOO_FEW = {"occupied": 18, "members_reported": 18, "quantity": 17}


def plan(code: str, **fields: Any) -> dict[str, Any]:
    """A plan with one price a month."""
    price = {"code": f"{code}_monthly", "currency": "eur", "interval": "month", "unit_amount": 900}
    model = "per_seat" if "seats" in fields else "flat"
    return {
        "code": code,
        "name": code.title(),
        "kind": "plan",
        "prices": [{**price, "model": model}],
        **fields,
    }


SEATS = {"strategy": "per_team", "owner_seat": "none", "minimum": 1, "maximum": 500}
CATALOG = {
    "products": [
        plan("server", seats=SEATS, license={"instances": 2, "grace_days": 14, "offline_days": 30}),
        plan("cloud", seats=SEATS),
        plan("solo"),
    ]
}


@dataclass(slots=True)
class OnPremises:
    """Acme's subscription to twenty-five seats, of which two machines report eighteen to be in use."""

    shop: World
    server: LicenseWorld
    subscription_id: str
    key: str

    def quantity(self, quantity: int, message: type[s.ChangeQuantity | s.ChangeHeldQuantity]) -> Any:
        """A command that changes the quantity at once."""
        return message(
            command_id=self.shop.command_id(),
            subscription_id=self.subscription_id,
            quantity=quantity,
            when="now",
            proration="none",
        )

    def plan(self, price: str, **fields: Any) -> s.ChangePlan:
        """A command that changes the plan at once."""
        return s.ChangePlan(
            command_id=self.shop.command_id(),
            subscription_id=self.subscription_id,
            price=price,
            when="now",
            proration="none",
            **fields,
        )

    async def seats(self) -> int:
        """The quantity now."""
        bought: int = (await self.shop.subscription())["items"][0]["quantity"]
        return bought


@pytest.fixture
async def premises(
    open_shop: OpenShop, bind: Callable[..., Bound], nats_session: NatsServer
) -> AsyncIterator[OnPremises]:
    """Both services; `licenses` answers only where a test lets it, `seats` never."""
    shop = await open_shop(CATALOG)
    client = ServiceClient(CommonSettings(nats_url=nats_session.users["subscriptions"]), "subscriptions")
    asking = bind(subscriptions, SeatQuota(client), *shop.bound.provided[1:])
    shop.bound = asking
    await shop.register()
    created = await shop.does(
        s.CreateSubscription(
            command_id=shop.command_id(),
            customer=ACME,
            items=[s.ItemToBuy(price="server_monthly", quantity=25)],
            collection="none",
        )
    )
    server = LicenseWorld(bind(licenses, *provided()))
    told = s.SubscriptionSnapshot.model_validate(created["subscription"], strict=False)
    await server.hears(told, "created")
    issued = await server.license(subscription_id=told.subscription_id)
    show = m.ShowLicenseKey(command_id=server.command_id(), license_id=issued["license_id"])
    key = (await server.does(show))["license_key"]
    for host, members in (("host-1", 11), ("host-2", 7)):
        await server.does(server.activate(key, host))
        await server.does(server.refresh(key, host, members=members))
    yield OnPremises(shop, server, told.subscription_id, key)
    await client.close()


@pytest.fixture
async def answered(premises: OnPremises, nats_session: NatsServer) -> AsyncIterator[OnPremises]:
    """The same with `licenses` answering."""
    async with answering(premises.server.bound.runtime, nats_session):
        yield premises


@pytest.mark.parametrize("message", [s.ChangeQuantity, s.ChangeHeldQuantity])
async def test_a_smaller_quantity_is_refused(answered: OnPremises, message: Any) -> None:
    assert await answered.shop.refuses(answered.quantity(17, message)) == ("seats_in_use", TOO_FEW)
    assert await answered.seats() == 25


async def test_a_plan_with_fewer_seats_or_none_is_refused(answered: OnPremises) -> None:
    assert await answered.shop.refuses(answered.plan("cloud_monthly", quantity=17)) == (
        "seats_in_use",
        TOO_FEW,
    )
    code, details = await answered.shop.refuses(answered.plan("solo_monthly"))
    assert (code, details) == ("seats_in_use", TOO_FEW | {"quantity": 0})


async def test_seats_that_nobody_uses_can_go(answered: OnPremises) -> None:
    await answered.shop.does(answered.quantity(18, s.ChangeHeldQuantity))
    assert await answered.seats() == 18


async def test_a_report_counts_from_its_answer_on(answered: OnPremises) -> None:
    # Nothing tells `subscriptions` of it; it asks.
    await answered.server.does(answered.server.refresh(answered.key, "host-2", members=14))
    code, details = await answered.shop.refuses(answered.quantity(24, s.ChangeHeldQuantity))
    assert (code, details["members_reported"]) == ("seats_in_use", 25)


async def test_machines_that_are_gone_use_nothing(answered: OnPremises) -> None:
    await answered.server.does(answered.server.deactivate(answered.key, "host-1"))
    await answered.shop.does(answered.quantity(7, s.ChangeHeldQuantity))
    revoke = m.RevokeLicense(
        command_id="revoke",
        license_id=(await answered.server.license(license_key=answered.key))["license_id"],
    )
    await answered.server.does(revoke)
    await answered.shop.does(answered.quantity(1, s.ChangeHeldQuantity))


async def test_a_repeated_question_gets_its_first_answer(answered: OnPremises) -> None:
    # A change that crashed after it was made must not be refused for what was reported since.
    server = answered.server
    command = m.ConfirmLicenseSeats(
        command_id="confirm", subscription_id=answered.subscription_id, quantity=18
    )
    first = await server.does(command)
    await server.does(server.refresh(answered.key, "host-1", members=25))
    assert await server.does(command) == first
    later = command.model_copy(update={"command_id": "confirm-later"})
    assert (await server.refuses(later))[1]["occupied"] == 32


async def test_a_subscription_without_a_license_needs_no_seats(answered: OnPremises) -> None:
    other = m.ConfirmLicenseSeats(command_id="confirm", subscription_id="sub_other", quantity=0)
    assert (await answered.server.does(other))["license_id"] is None


async def test_without_an_answer_seats_can_be_added_and_fewer_wait(premises: OnPremises) -> None:
    fewer = premises.quantity(20, s.ChangeHeldQuantity)
    assert (await premises.shop.bound.handle(fewer)).status == "failed"
    await premises.shop.does(premises.quantity(30, s.ChangeHeldQuantity))
    assert await premises.seats() == 30
