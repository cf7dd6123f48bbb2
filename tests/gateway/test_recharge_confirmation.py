"""An automatic recharge that buys at once says so before: what, for how much, with which card."""

import re

import pytest

from tallystick.messages import consumables
from tallystick.messages import subscriptions as m
from tests.support.gateway import GatewaySystem
from tests.support.page_visitor import visiting
from tests.support.shop import Shop
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(120)
SAVE = "/billing/auto-recharge"


async def test_what_is_bought_at_once_is_confirmed_first(gateway: GatewaySystem, shop: Shop) -> None:
    # Essential has 100 orders; fewer than 150 are left at once, so 80 are bought at 0.25: 20.00.
    await shop.register()
    await shop.buys("essential_monthly")
    account = f"customer:{shop.acme.token}"

    async def left() -> int | None:
        return (await shop.billing.ask(consumables.GetBalance(account=account, feature="orders"))).remaining

    async def has(quantity: int) -> bool:
        return await left() == quantity

    async def collected() -> list[int]:
        theirs = (await shop.billing.ask(m.GetCustomer(customer=shop.acme))).customer.stripe_customer_id
        listed = shop.stripe.v1.charges.list({"customer": str(theirs), "limit": 100}).data
        return sorted(found.amount for found in listed if found.status == "succeeded")

    await eventually(lambda: has(100))
    async with visiting(gateway, shop.acme) as visitor:
        form = await visitor.form("/billing", SAVE)
        wish = {"threshold": "150", "recharge_quantity": "80", "enabled": "yes"}
        answer = await visitor.send(SAVE, form | wish)
        text = re.sub(r"\s+", " ", answer.text)
        assert answer.status_code == 200
        assert "Fewer than 150 are left, so 80 are bought right now." in text
        assert "80 × Orders" in text and "Paid with Visa, ending in 4242." in text
        assert ">Pay €20.00 and save</button>" in text
        assert await collected() == [4900]

        tags = re.findall("<input[^>]*>", answer.text.partition(f'action="{SAVE}"')[2])
        fields = [dict(re.findall(r'([a-z_-]+)="([^"]*)"', tag)) for tag in tags]
        confirm = {each["name"]: each.get("value", "") for each in fields if "name" in each}
        for _ in range(2):  # a double click
            saved = await visitor.send(SAVE, confirm)
            assert saved.headers["location"] == "/billing?done=recharge_set#recharge"
        await eventually(lambda: has(180))
        assert await collected() == [2000, 4900]

        # What buys nothing at once is saved in one step.
        form = await visitor.form("/billing", SAVE)
        quiet = await visitor.send(SAVE, form | {**wish, "threshold": "10"})
        assert quiet.headers["location"] == "/billing?done=recharge_set#recharge"
        assert await collected() == [2000, 4900]
