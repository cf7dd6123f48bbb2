"""Changing the plan on the page: each price leads to a checkout or to a confirmation."""

import re

import pytest

from tallystick.client import CommandRejected
from tallystick.messages import consumables
from tallystick.messages.subscriptions import ListInvoices
from tests.support.gateway import GatewaySystem
from tests.support.page_visitor import visiting
from tests.support.shop import GOOD_CARD, Shop, fresh_id
from tests.support.waiting import eventually

PLANS = "/billing/plans"

pytestmark = pytest.mark.timeout(120)


def offered(page: str) -> dict[str, str]:
    """Return the prices on the page of plans with the target of each."""
    forms = re.findall(
        r'<form method="[a-z]+" action="([^"]*)" class="stacked">(.*?)</form>', page, re.DOTALL
    )
    return {re.findall(r'name="price" value="([^"]*)"', form)[0]: action for action, form in forms}


async def test_changing_from_a_free_plan_to_paid_plans(gateway: GatewaySystem, shop: Shop) -> None:
    # Starter, with 10 products, is free; Essential has 200 on top, and can be changed for what costs too.
    await shop.register()
    async with visiting(gateway, shop.acme) as visitor:
        form = await visitor.form(PLANS, "/billing/checkout")
        free = await visitor.send("/billing/checkout", form | {"price": "starter_free"})
        assert free.headers["location"] == "/billing?done=bought"
        await shop.becomes("active")

        ways = offered((await visitor.http.get(PLANS)).text)
        assert "starter_free" not in ways
        assert set(ways.values()) == {"/billing/checkout"}
        form = await visitor.form(PLANS, ways["essential_monthly"])
        bought = await visitor.send("/billing/checkout", form | {"price": "essential_monthly"})
        assert bought.status_code == 303
        await shop.page(bought.headers["location"], card_number=GOOD_CARD)

        async def has_both() -> bool:
            return (await shop.allowed("products")).quantity == 210

        await eventually(has_both)

        ways = offered((await visitor.http.get(PLANS)).text)
        assert ways["professional_monthly"] == "/billing/change"
        assert set(ways.values()) == {"/billing/change"} and "starter_free" not in ways


async def test_a_payment_method_can_be_changed_whatever_it_pays_for(
    gateway: GatewaySystem, shop: Shop
) -> None:
    # The plan is free, but an add-on was paid for: without a plan, and beside a free one.
    await shop.register()
    async with visiting(gateway, shop.acme) as visitor:
        for _ in range(2):
            form = await visitor.form("/billing", "/billing/portal")
            opened = await visitor.send("/billing/portal", form)
            assert opened.headers["location"].startswith(shop.system.stripe_url)
            form = await visitor.form(PLANS, "/billing/checkout")
            await visitor.send("/billing/checkout", form | {"price": "starter_free"})


@pytest.mark.parametrize(
    ("price", "when"),
    [("business_monthly", "now"), ("essential_monthly", "period_end")],
    ids=["more", "less"],
)
async def test_more_is_offered_at_once_and_less_when_the_period_ends(
    gateway: GatewaySystem, shop: Shop, price: str, when: str
) -> None:
    await shop.register()
    await shop.buys("professional_monthly")
    async with visiting(gateway, shop.acme) as visitor:
        page = f"/billing/change?price={price}"
        form = await visitor.form(page, "/billing/change")
        assert form["when"] == when
        changed = await visitor.send("/billing/change", form)
        done = "changed" if when == "now" else "change_scheduled"
        assert changed.headers["location"] == f"/billing?done={done}#plan"
        # What is scheduled already and is looked at again stays so.
        if when == "period_end":
            assert (await visitor.form(page, "/billing/change"))["when"] == when
        # Another time of the change must be chosen explicitly.
        other = await visitor.form(
            "/billing/change?price=studio_monthly&quantity=3&when=now", "/billing/change"
        )
        assert other["when"] == "now"


async def test_a_change_shows_the_card_and_is_made_for_the_shown_sum(
    gateway: GatewaySystem, shop: Shop
) -> None:
    await shop.register()
    await shop.buys("essential_monthly")
    async with visiting(gateway, shop.acme) as visitor:
        page = "/billing/change?price=business_monthly"
        text = (await visitor.http.get(page)).text
        form = await visitor.form(page, "/billing/change")
        assert "Paid with Visa, ending in 4242." in text
        amount = int(form["due_amount"])
        assert 0 < amount <= 15_000 and form["proration_date"]
        assert f">Pay €{amount / 100:.2f} and change</button>" in text

        # Another sum than the page has shown is not charged; the right one is shown again.
        wrong = form | {"due_amount": str(amount - 1), "command_id": "wrong"}
        shown = await visitor.send("/billing/change", wrong)
        assert shown.status_code == 409
        assert "Another amount is due now than was shown." in shown.text
        unconfirmed = await visitor.send("/billing/change", form | {"due_amount": "", "command_id": "none"})
        assert unconfirmed.status_code == 200 and "and change</button>" in unconfirmed.text
        assert (await shop.subscription()).items[0].price == "essential_monthly"

        for _ in range(2):  # a double click
            changed = await visitor.send("/billing/change", form)
            assert changed.headers["location"] == "/billing?done=changed#plan"
        await shop.all_applied()
        newest = (await shop.billing.ask(ListInvoices(customer=shop.acme))).items[0]
        assert (newest.amount_paid, newest.status) == (amount, "paid")


async def test_more_seats_are_bought_for_the_shown_sum(gateway: GatewaySystem, shop: Shop) -> None:
    await shop.register()
    await shop.buys("team_monthly", 3, trial=False)
    async with visiting(gateway, shop.acme) as visitor:

        async def offered() -> bool:
            return "/billing/seats/count" in (await visitor.http.get("/billing")).text

        await eventually(offered)
        page = "/billing/seats/count?quantity=5"
        assert "Paid with Visa, ending in 4242." in (await visitor.http.get(page)).text
        form = await visitor.form(page, "/billing/seats/count")
        wrong = form | {"due_amount": "1", "command_id": "wrong"}
        shown = await visitor.send("/billing/seats/count", wrong)
        assert shown.status_code == 409 and "Another amount is due now" in shown.text
        bought = await visitor.send("/billing/seats/count", form)
        assert bought.headers["location"] == "/billing?done=seats_changed#team"
        await shop.all_applied()
        newest = (await shop.billing.ask(ListInvoices(customer=shop.acme))).items[0]
        assert newest.amount_paid == int(form["due_amount"])


UNITS = re.compile(r'<p class="units">(.*?)</p>')


async def test_the_confirmation_tells_what_happens_to_units(gateway: GatewaySystem, shop: Shop) -> None:
    # Essential has 100 orders a month, of which 30 are used; Professional has 500.
    await shop.register()
    await shop.buys("essential_monthly")
    await eventually(lambda: _has_used(shop, 30))
    more, less = "/billing/change?price=professional_monthly", "/billing/change?price=essential_monthly"
    async with visiting(gateway, shop.acme) as visitor:
        page = await visitor.http.get(more)
        assert UNITS.findall(page.text) == [
            "Orders: 400 more for this month, which makes 470. Later: 500 each month."
        ]
        await visitor.send("/billing/change", await visitor.form(more, "/billing/change"))
        page = await visitor.http.get(less)
        assert UNITS.findall(page.text) == [
            "Orders: the 470 that are left stay until then. Later: 100 each month."
        ]
        page = await visitor.http.get(f"{less}&when=now", headers={"accept-language": "de"})
        assert UNITS.findall(page.text) == [
            "Orders: 400 übrige Einheiten dieses Monats werden zurückgenommen; es bleiben 70."
            " Danach: 100 im Monat."
        ]


async def _has_used(shop: Shop, orders: int) -> bool:
    """Consume orders; false as long as they have not come."""
    command = consumables.Consume(
        command_id=fresh_id("use"), consumer=shop.acme, feature="orders", quantity=orders
    )
    try:
        return (await shop.billing.call(command)).consumed == orders
    except CommandRejected:
        return False
