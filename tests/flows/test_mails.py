"""Mails of the whole system, in the mail catcher."""

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
