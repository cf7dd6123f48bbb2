"""What a preview says of units is what the change then does, in the running system."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tallystick.messages import consumables as u
from tallystick.messages import subscriptions as m
from tallystick.messages.catalog import ApplyCatalog
from tests.support.catalogs import example_catalog
from tests.support.shop import Shop, fresh_id
from tests.support.waiting import eventually

HOURS = "mentorship_hours"


def plan(code: str, amount: int, hours: int, **feature: Any) -> dict[str, Any]:
    """A plan that is paid by the month, or by the year for ten months."""
    given = [{"feature": HOURS, "quantity": hours, "every": "month", **feature}] if hours else []
    prices = [("month", f"{code}_monthly", amount), ("year", f"{code}_yearly", 10 * amount)]
    return {
        "code": code,
        "name": code.title(),
        "kind": "plan",
        "features": given,
        "prices": [
            {"code": price, "currency": "eur", "interval": every, "model": "flat", "unit_amount": cost}
            for every, price, cost in prices
        ],
    }


async def sells_hours(shop: Shop) -> None:
    """Sell three plans beside the example's: without hours, with 80, and with 200."""
    catalog = example_catalog()
    catalog["products"] += [plan("tiny", 900, 0), plan("solo", 10000, 80), plan("pro", 20000, 200)]
    await shop.billing.call(ApplyCatalog(command_id=fresh_id("apply"), catalog=catalog))


async def previews(shop: Shop, price: str, **fields: Any) -> tuple[int, int]:
    """Return the change of hours and what then remains, as the preview says."""
    target = await shop.subscription()
    preview = await shop.billing.ask(
        m.PreviewChange(subscription_id=target.subscription_id, price=price, **fields)
    )
    assert preview.units is not None
    (hours,) = preview.units
    assert hours.feature == HOURS
    return hours.change, hours.remaining


async def changes(shop: Shop, price: str) -> None:
    """Change the plan now."""
    target = await shop.subscription()
    command = m.ChangePlan(
        command_id=fresh_id("plan"), subscription_id=target.subscription_id, price=price, when="now"
    )
    await shop.billing.call(command)


async def has_left(shop: Shop, hours: int) -> None:
    """Wait until that many hours remain."""
    account = f"customer:{shop.acme.token}"

    async def remain() -> bool:
        balance = await shop.billing.ask(u.GetBalance(account=account, feature=HOURS))
        return balance.remaining == hours

    await eventually(remain)


async def subscribes(shop: Shop, price: str, collection: str) -> None:
    """Subscribe on Stripe's page, or to what is paid outside."""
    await shop.register()
    if collection == "automatic":
        await shop.buys(price)
        return
    command = m.CreateSubscription(
        command_id=fresh_id("create"),
        customer=shop.acme,
        items=[m.ItemToBuy(price=price)],
        collection="none",
    )
    await shop.billing.call(command)


@pytest.mark.parametrize("collection", ["automatic", "none"])
async def test_tiny_solo_tiny_pro(shop: Shop, collection: str) -> None:
    # 9.00 without hours, 100.00 with 80, 200.00 with 200. 5 hours given by hand stay throughout.
    await sells_hours(shop)
    await subscribes(shop, "tiny_monthly", collection)
    assert await previews(shop, "solo_monthly") == (80, 80)
    await changes(shop, "solo_monthly")
    await has_left(shop, 80)

    used = u.Consume(command_id=fresh_id("use"), consumer=shop.acme, feature=HOURS, quantity=30)
    await shop.billing.call(used)
    gift = u.Grant(
        command_id=fresh_id("gift"),
        account=f"customer:{shop.acme.token}",
        feature=HOURS,
        quantity=5,
        reason="a gift",
    )
    await shop.billing.call(gift)
    assert await previews(shop, "pro_monthly") == (120, 170)
    assert await previews(shop, "tiny_monthly", when="period_end") == (0, 50)
    assert await previews(shop, "tiny_monthly", when="now") == (-50, 0)
    await changes(shop, "tiny_monthly")
    await has_left(shop, 5)

    assert await previews(shop, "solo_monthly") == (50, 50)
    await changes(shop, "solo_monthly")
    await has_left(shop, 55)
    # A year begins now, with a cycle of its own, and the month is credited: the 30 that were used count on.
    assert await previews(shop, "pro_yearly", when="now") == (120, 170)
    await changes(shop, "pro_yearly")
    await has_left(shop, 175)


async def test_without_the_service_of_units_a_preview_still_tells_the_price(shop: Shop) -> None:
    await sells_hours(shop)
    await subscribes(shop, "tiny_monthly", "none")
    target = await shop.subscription()
    question = m.PreviewChange(subscription_id=target.subscription_id, price="solo_monthly")
    with frozen(shop.system.stack.children["consumables"].pid):
        preview = await shop.billing.ask(question)
    assert (preview.units, preview.next_invoice.amount) == (None, 9100 + 10000)

    async def told_again() -> bool:
        return (await shop.billing.ask(question)).units is not None

    await eventually(told_again)


@contextmanager
def frozen(process: int) -> Iterator[None]:
    """Let a process answer nobody."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)
