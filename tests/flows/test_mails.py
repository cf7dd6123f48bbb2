"""Mails of the whole system, in the mail catcher."""

from datetime import timedelta
from typing import Any

from tallystick.messages import seats
from tests.support.shop import Shop, fresh_id
from tests.support.shop_steps import opens
from tests.support.waiting import eventually


async def mails_to(shop: Shop, address: str) -> list[dict[str, Any]]:
    """The mails to an address, newest first."""
    answer = await shop.browser.get(f"{shop.system.mailbox_url}/api/messages", params={"to": address})
    found: list[dict[str, Any]] = answer.raise_for_status().json()
    return found


async def test_an_invitation_reaches_the_invited_person(shop: Shop) -> None:
    await shop.register()
    team = await opens(shop, 5, collection="none")
    address = f"{fresh_id('bob')}@example.com"
    assigned = await shop.billing.call(
        seats.AssignSeat(command_id=fresh_id("assign"), team_id=team.team_id, email=address)
    )
    (mail,) = await eventually(lambda: mails_to(shop, address))
    assert mail["to"] == address
    assert mail["message_id"].startswith("<")
    assert mail["headers"]["Auto-Submitted"] == "auto-generated"
    assert f"/claim/{assigned.invitation_token}" in mail["text"]
    assert f"/claim/{assigned.invitation_token}" in mail["html"]


async def test_a_renewal_is_announced_with_its_amount(shop: Shop) -> None:
    address = f"{fresh_id('pay')}@example.com"
    await shop.register(email=address)
    bought = await shop.buys("essential_monthly", trial=False)
    assert bought.current_period_end is not None
    await shop.tick("subscriptions", "send_reminders", bought.current_period_end - timedelta(days=6))

    async def announced() -> list[dict[str, Any]]:
        return [mail for mail in await mails_to(shop, address) if "renews on" in mail["subject"]]

    (mail,) = await eventually(announced)
    assert "€49.00" in mail["text"]
    assert any("Receipt" in one["subject"] for one in await mails_to(shop, address))
