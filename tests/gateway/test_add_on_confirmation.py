"""Buying an add-on on the page: nothing is charged before its sum was confirmed, and nothing twice."""

import re

import pytest

from tallystick.messages import subscriptions as m
from tests.support.gateway import GatewaySystem
from tests.support.page_visitor import Visitor, visiting
from tests.support.shop import GOOD_CARD, Shop
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(120)
BUY = "/billing/add-ons/buy"
OWNED = '<span class="badge good">Yours</span>'


async def collected(shop: Shop) -> list[int]:
    """Return the amounts that Stripe has collected from the customer, smallest first."""
    theirs = (await shop.billing.ask(m.GetCustomer(customer=shop.acme))).customer.stripe_customer_id
    listed = shop.stripe.v1.charges.list({"customer": str(theirs), "limit": 100}).data
    return sorted(found.amount for found in listed if found.status == "succeeded")


async def confirmation(visitor: Visitor, price: str, **details: str) -> tuple[str, dict[str, str]]:
    """The text of the confirmation, and its form."""
    query = "&".join([f"price={price}", *(f"detail_{name}={value}" for name, value in details.items())])
    text = (await visitor.http.get(f"{BUY}?{query}")).raise_for_status().text
    return re.sub(r"\s+", " ", text), await visitor.form(f"{BUY}?{query}", BUY)


async def test_an_add_on_is_bought_for_the_sum_that_the_button_names(
    gateway: GatewaySystem, shop: Shop
) -> None:
    # A custom domain, whose flag is sold once for each name, for 15.00 a year on the saved Visa.
    await shop.register()
    await shop.buys("essential_monthly")
    async with visiting(gateway, shop.acme) as visitor:
        text, form = await confirmation(visitor, "domain_yearly", domain_name="shop.example")
        assert "Buy Custom Domain" in text and "Domain name: <strong>shop.example</strong>" in text
        assert "For the time from" in text
        assert "Paid with Visa, ending in 4242." in text
        assert ">Pay €15.00 and buy</button>" in text
        assert (form["due_amount"], form["due_currency"]) == ("1500", "eur")
        assert await collected(shop) == [4900]

        # Without a sum nothing was confirmed; for another sum nothing is bought, and the right one is shown.
        unconfirmed = await visitor.send(BUY, form | {"due_amount": ""})
        assert unconfirmed.status_code == 200 and "Pay €15.00 and buy" in unconfirmed.text
        other = form | {"due_amount": "1400", "command_id": "another"}
        changed = await visitor.send(BUY, other)
        assert changed.status_code == 409
        assert "Another amount is due now than was shown." in changed.text
        assert "Pay €15.00 and buy" in changed.text
        assert await collected(shop) == [4900]

        for _ in range(2):  # a double click, or the back button
            bought = await visitor.send(BUY, form)
            assert bought.headers["location"] == "/billing?done=add_on_bought#add-ons"
        assert await collected(shop) == [1500, 4900]
        query = {"price": "domain_yearly", "detail_domain_name": "shop.example"}
        again = await visitor.http.get(BUY, params=query)
        assert again.status_code == 409 and "You have this already" in again.text


async def test_a_flag_is_marked_as_owned_and_can_be_kept(gateway: GatewaySystem, shop: Shop) -> None:
    await shop.register()
    await shop.buys("essential_monthly")
    async with visiting(gateway, shop.acme) as visitor:
        page = (await visitor.http.get("/billing")).text
        assert 'value="ssl_premium_yearly"' in page and OWNED not in page
        _, form = await confirmation(visitor, "ssl_premium_yearly")
        await visitor.send(BUY, form)

        page = (await visitor.http.get("/billing")).text
        assert 'value="ssl_premium_yearly"' not in page and OWNED in page
        assert 'value="email_5_monthly"' in page
        ending = await visitor.form("/billing", "/billing/add-ons/cancel")
        await visitor.send("/billing/add-ons/cancel", ending)
        keep = await visitor.form("/billing", "/billing/add-ons/keep")
        kept = await visitor.send("/billing/add-ons/keep", keep)
        assert kept.headers["location"] == "/billing?done=add_on_kept#add-ons"
        [add_on] = (await shop.billing.ask(m.ListAddOns(customer=shop.acme))).items
        assert (add_on.status, add_on.cancel_at) == ("active", None)


async def test_without_a_card_the_next_page_takes_the_payment(gateway: GatewaySystem, shop: Shop) -> None:
    await shop.register()
    async with visiting(gateway, shop.acme) as visitor:
        form = await visitor.form("/billing/plans", "/billing/checkout")
        await visitor.send("/billing/checkout", form | {"price": "starter_free"})
        text, form = await confirmation(visitor, "ssl_premium_yearly")
        assert "You have saved no payment method." in text
        assert "On to the payment of €" in text
        started = await visitor.send(BUY, form)
        # Back, and on once more: the same page, on which it is paid once.
        _, again = await confirmation(visitor, "ssl_premium_yearly")
        assert again["command_id"] != form["command_id"]
        assert (await visitor.send(BUY, again)).headers["location"] == started.headers["location"]
        await shop.page(started.headers["location"], card_number=GOOD_CARD)

        async def owned() -> bool:
            return bool((await shop.billing.ask(m.ListAddOns(customer=shop.acme))).items)

        await eventually(owned)
        assert len(await collected(shop)) == 1


async def test_a_cancellation_says_what_ends_and_what_is_credited(gateway: GatewaySystem, shop: Shop) -> None:
    await shop.register()
    await shop.buys("essential_monthly")
    async with visiting(gateway, shop.acme) as visitor:
        _, form = await confirmation(visitor, "ssl_premium_yearly")
        await visitor.send(BUY, form)
        page = (await visitor.http.get("/billing/cancel")).text
        for text in ("Essential, on ", "Add-on Premium SSL, on ", "Orders: what is left expires on "):
            assert text in page, text
        credit = re.findall(r"(€[0-9.]+) is credited to you", page)
        assert len(credit) == 1 and "€43.00" < credit[0] < "€49.00"

        await visitor.send("/billing/cancel", await visitor.form("/billing/cancel", "/billing/cancel"))

        async def ending() -> bool:
            [add_on] = (await shop.billing.ask(m.ListAddOns(customer=shop.acme))).items
            return add_on.cancel_at is not None

        await eventually(ending)
        billing = (await visitor.http.get("/billing")).text
        assert "Ends with the plan on" in billing
        assert "/billing/add-ons/keep" not in billing and "/billing/add-ons/cancel" not in billing
