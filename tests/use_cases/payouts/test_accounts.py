"""Connected accounts: opened once, onboarded, disabled, disconnected, and opened again."""

import asyncio

import httpx
import pytest
from pydantic import ValidationError

from tallystick.messages import payouts as m
from tallystick.messages.base import Customer
from tests.support.worlds.sellers import ACME, PAGE, SellerWorld


async def test_a_seller_connects_and_is_onboarded(sellers: SellerWorld) -> None:
    command = sellers.connect()
    opened = await sellers.does(command)
    account = opened["account"]
    assert (account["payouts_enabled"], account["country"], account["version"]) == (False, "DE", 1)
    assert "external_account" in account["requirements"]["currently_due"]
    assert account["schedule"] == {"hold_days": 7, "every": "manual", "minimum": 0}
    assert await sellers.does(command) == opened

    await sellers.onboards(opened["onboarding_url"])
    await sellers.catches_up()
    enabled = await sellers.account()
    assert (enabled["payouts_enabled"], enabled["details_submitted"]) == (True, True)
    assert enabled["requirements"] == {"currently_due": [], "past_due": [], "disabled_reason": None}
    assert await sellers.names("payout_account") == ["createdV1", "updatedV1"]
    assert set(await sellers.reports()) == {"applied"}
    (made,) = sellers.stripe_objects("accounts")
    assert made["id"] == account["stripe_account_id"]
    assert made["metadata"]["tallystick_customer"] == "organization_acme"


async def test_a_seller_has_one_account(sellers: SellerWorld) -> None:
    outcomes = await asyncio.gather(*(sellers.bound.handle(sellers.connect(), sellers.now) for _ in range(4)))
    succeeded = [one for one in outcomes if one.status == "succeeded"]
    others = {one.error.code for one in outcomes if one.error is not None}
    assert len(succeeded) == 1 and others <= {"already_connected", "unavailable"}
    assert len(sellers.stripe_objects("accounts")) == 1
    code, details = await sellers.refuses(sellers.connect())
    assert (code, details["customer"]) == ("already_connected", "organization_acme")


async def test_what_stripe_refuses_leaves_nothing(sellers: SellerWorld) -> None:
    code, details = await sellers.refuses(sellers.connect(country="ZZ"))
    assert (code, details["param"]) == ("invalid_message", "country")
    assert await sellers.refuses(m.GetAccount(customer=ACME)) == (
        "not_found",
        {"customer": "organization_acme"},
    )
    assert (await sellers.does(sellers.connect()))["account"]["country"] == "DE"


def test_a_seller_is_an_organization() -> None:
    with pytest.raises(ValidationError, match="must be an organization"):
        m.GetAccount(customer=Customer(type="user", id="7"))


@pytest.mark.parametrize("writes", [0, 1])
async def test_an_account_whose_opening_was_interrupted_is_opened_once(
    sellers: SellerWorld, writes: int
) -> None:
    command = sellers.connect()
    sellers.stand_in.goes_away_after(writes)
    assert (await sellers.bound.handle(command, sellers.now)).status == "failed"
    assert (await sellers.bound.handle(sellers.connect(), sellers.now)).status == "failed"
    assert await sellers.refuses(m.GetAccount(customer=ACME)) == (
        "not_found",
        {"customer": "organization_acme"},
    )
    sellers.stand_in.comes_back()
    opened = await sellers.does(command)
    assert [one["id"] for one in sellers.stripe_objects("accounts")] == [
        opened["account"]["stripe_account_id"]
    ]


async def test_the_pages_at_stripe(sellers: SellerWorld) -> None:
    def asked(message: type[m.OpenOnboarding] | type[m.OpenSellerDashboard]) -> m.OpenOnboarding:
        return message(command_id=sellers.command_id(), customer=ACME, return_url=PAGE)  # type: ignore[return-value]

    assert (await sellers.refuses(asked(m.OpenOnboarding)))[0] == "not_connected"
    await sellers.does(sellers.connect())
    assert (await sellers.refuses(asked(m.OpenSellerDashboard)))[0] == "onboarding_incomplete"
    page = await sellers.does(asked(m.OpenOnboarding))
    assert page["expires_at"] > sellers.now.isoformat()
    await sellers.onboards(page["url"])
    await sellers.catches_up()
    dashboard = await sellers.does(asked(m.OpenSellerDashboard))
    async with httpx.AsyncClient() as browser:
        assert (await browser.get(dashboard["url"])).status_code == 200


async def test_an_account_that_stripe_disables_and_enables(sellers: SellerWorld) -> None:
    account = await sellers.connected()
    await sellers.knob(
        account["stripe_account_id"],
        disabled_reason="requirements.past_due",
        currently_due=["tos_acceptance"],
    )
    await sellers.knob(account["stripe_account_id"], disabled_reason="")
    # In any order and again: each event asks for the account as it is now.
    events = sellers.new_events()
    await sellers.hears(*reversed(events), *events)
    found = await sellers.account()
    assert found["payouts_enabled"] and found["requirements"]["currently_due"] == ["tos_acceptance"]


async def test_a_seller_who_leaves_may_connect_again(sellers: SellerWorld) -> None:
    account = await sellers.connected()
    await sellers.knob(account["stripe_account_id"], deauthorized=True)
    await sellers.catches_up()
    left = await sellers.account()
    assert left["disconnected_at"] is not None and not left["payouts_enabled"]
    assert await sellers.names("payout_account") == ["createdV1", "updatedV1", "disconnectedV1"]
    again = await sellers.connected()
    assert again["payout_account_id"] != account["payout_account_id"] and again["payouts_enabled"]


async def test_what_webhooks_missed_is_found_by_the_daily_comparison(sellers: SellerWorld) -> None:
    opened = await sellers.does(sellers.connect())
    await sellers.onboards(opened["onboarding_url"])
    await sellers.bound.tick("sync_accounts", sellers.now)
    assert (await sellers.account())["payouts_enabled"]
    await sellers.bound.tick("sync_accounts", sellers.now)
    assert await sellers.names("payout_account") == ["createdV1", "updatedV1"]
    await sellers.knob(opened["account"]["stripe_account_id"], deauthorized=True)
    await sellers.bound.tick("sync_accounts", sellers.now)
    assert await sellers.names("payout_account") == ["createdV1", "updatedV1", "disconnectedV1"]


async def test_an_event_about_somebody_elses_account_is_ignored(sellers: SellerWorld) -> None:
    event = {
        "id": "evt_other",
        "type": "payout.paid",
        "account": "acct_other",
        "data": {"object": {"status": "paid", "amount": 1, "currency": "eur", "created": 1}},
    }
    await sellers.hears(event, {**event, "id": "evt_own", "account": None})
    assert await sellers.reports() == ["ignored", "ignored"]
