"""Add-ons, feature overrides, one-off charges and the billing portal."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from tallystick.messages import consumables as c
from tallystick.messages import subscriptions as m
from tests.support.shop import CANCEL_URL, GOOD_CARD, SUCCESS_URL, Shop, fresh_id
from tests.support.shop_steps import WAYS, sent
from tests.support.waiting import eventually


def purchase(shop: Shop, price: str, **details: str) -> m.PurchaseAddOn:
    return m.PurchaseAddOn(
        command_id=fresh_id("purchase"),
        customer=shop.acme,
        price=price,
        details=details,
        success_url=SUCCESS_URL,
        cancel_url=CANCEL_URL,
    )


def charge(shop: Shop, amount: int, reference: str) -> m.ChargeCustomer:
    return m.ChargeCustomer(
        command_id=fresh_id("charge"),
        customer=shop.acme,
        amount=m.Charge(amount=amount, currency="eur"),
        description="Setting up the shop",
        reference=reference,
    )


async def collected(shop: Shop) -> list[int]:
    """Return the amounts that Stripe has collected from the customer, smallest first."""
    theirs = (await shop.billing.ask(m.GetCustomer(customer=shop.acme))).customer.stripe_customer_id
    listed = shop.stripe.v1.charges.list({"customer": str(theirs), "limit": 100}).data
    return sorted(found.amount for found in listed if found.status == "succeeded")


async def quantity(shop: Shop, feature: str) -> int | None:
    return (await shop.allowed(feature)).quantity


async def test_a_shop_grows_by_add_ons_and_gives_one_back(shop: Shop) -> None:
    # The plan is 49.00. A domain for 15.00 and 5 + 10 addresses for 5.00 and 9.00 come on the saved card;
    # the five addresses end at once, the domain at the end of its year.
    async with shop.feed() as told:
        await shop.register()
        plan = await shop.buys("essential_monthly")
        refusal = await shop.refused(purchase(shop, "domain_yearly", domain_name="my shop"))
        assert refusal[0] == "add_on_details_required"
        domain = (await shop.billing.call(purchase(shop, "domain_yearly", domain_name="Shop.Example"))).add_on
        five = (await shop.billing.call(purchase(shop, "email_5_monthly"))).add_on
        ten = (await shop.billing.call(purchase(shop, "email_10_monthly"))).add_on
        assert domain is not None
        assert five is not None
        assert ten is not None
        assert domain.details == {"domain_name": "shop.example"}
        assert await quantity(shop, "email_addresses") == 15
        assert await collected(shop) == [500, 900, 1500, 4900]
        assert (await shop.subscription()).subscription_id == plan.subscription_id

        def ended(add_on: m.AddOnSnapshot, at: Any) -> m.CancelAddOn:
            return m.CancelAddOn(command_id=fresh_id("cancel"), add_on_id=add_on.add_on_id, at=at)

        await shop.billing.call(ended(five, "now"))
        ending = (await shop.billing.call(ended(domain, "period_end"))).add_on
        assert await quantity(shop, "email_addresses") == 10
        assert (await shop.allowed("custom_domain")).expires_at == ending.cancel_at

        listed = (await shop.billing.ask(m.ListAddOns(customer=shop.acme))).items
        assert [(each.product, each.status) for each in listed] == [
            ("email_10", "active"),
            ("email_5", "canceled"),
            ("domain", "active"),
        ]
        await shop.all_applied()
        expected = ["purchased", "purchased", "purchased", "canceled", "updated"]
        await eventually(lambda: told.names("add_on") == expected)


async def test_an_exception_is_in_the_bucket_until_it_ends(shop: Shop) -> None:
    # Essential gives 200 products. 50 more until tomorrow are 250, then 200 again.
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    await shop.register()
    await shop.buys("essential_monthly")

    def override(**fields: Any) -> m.OverrideFeature:
        known: dict[str, Any] = {"customer": shop.acme, "reason": "A migration"} | fields
        return m.OverrideFeature(command_id=fresh_id("override"), **known)

    await shop.billing.call(override(feature="products", quantity=50, until=tomorrow))
    await shop.billing.call(override(feature="api_access", allowed=True))
    await shop.billing.call(override(feature="basic_support", allowed=False))

    async def bucket(feature: str) -> tuple[bool, int | None] | None:
        entry = await shop.bucket(feature)
        return (entry["allowed"], entry["quantity"]) if entry else None

    async def reads(feature: str, wanted: tuple[bool, int | None]) -> bool:
        return await bucket(feature) == wanted

    async def has_room_for(products: int) -> bool:
        balance = await shop.billing.ask(c.GetBalance(consumer=shop.acme, feature="products"))
        return balance.remaining == products

    assert await eventually(lambda: reads("products", (True, 250)))
    assert await eventually(lambda: reads("api_access", (True, None)))
    assert await eventually(lambda: reads("basic_support", (False, 0)))
    assert await eventually(lambda: has_room_for(250))
    await shop.tick("subscriptions", "move_periods", tomorrow)
    await shop.tick("subscriptions", "move_periods", tomorrow)
    assert await eventually(lambda: reads("products", (True, 200)))
    assert await bucket("api_access") == (True, None)
    assert await eventually(lambda: has_room_for(200))
    await shop.billing.call(override(feature="basic_support", until=datetime.now(UTC)))
    assert await eventually(lambda: reads("basic_support", (True, None)))
    assert (await shop.refused(override(feature="no_such_feature", quantity=1)))[0] == "unknown_feature"


async def test_charges_by_both_ways_in_are_collected_once_each(shop: Shop) -> None:
    async with shop.feed() as told:
        await shop.register()
        await shop.buys("essential_monthly")
        for amount, way in zip((1500, 2500), WAYS, strict=True):
            command = charge(shop, amount, f"setup-{amount}")
            body = command.model_dump_json().encode()
            first = await sent(shop, way, "charge_customer", body)
            again = await asyncio.gather(*(sent(shop, way, "charge_customer", body) for way in WAYS))
            assert first["status"] == "succeeded", first
            assert [outcome["result"] for outcome in again] == [first["result"]] * 2
            assert first["result"]["invoice"]["status"] == "paid"
        assert await collected(shop) == [1500, 2500, 4900]

        await shop.all_applied()
        invoices = (await shop.billing.ask(m.ListInvoices(customer=shop.acme))).items
        assert [(each.reference, each.total, each.status) for each in invoices] == [
            ("setup-2500", 2500, "paid"),
            ("setup-1500", 1500, "paid"),
            (None, 4900, "paid"),
        ]
        paid = [event.snapshot["reference"] for event in told.of("invoice") if event.event == "paid"]
        assert sorted(paid, key=str) == [None, "setup-1500", "setup-2500"]


async def test_charges_need_a_card_and_the_portal_a_stripe_customer(shop: Shop) -> None:
    theirs = (await shop.register()).stripe_customer_id
    assert (await shop.refused(charge(shop, 1500, "none")))[0] == "payment_method_required"
    shop.saves_card(str(theirs), "pm_card_chargeCustomerFail")
    code, details = await shop.refused(charge(shop, 1500, "declined"))
    assert (code, details["reference"]) == ("payment_failed", "declined")
    assert await collected(shop) == []

    portal = m.OpenPortal(command_id=fresh_id("portal"), customer=shop.acme, return_url=SUCCESS_URL)
    opened = await shop.billing.call(portal)
    page = await shop.browser.get(opened.portal_url)
    assert page.status_code == 200
    # A better card, saved on that page, is charged from then on.
    await shop.browser.post(opened.portal_url, data={"card_number": GOOD_CARD})
    await shop.billing.call(charge(shop, 1500, "better"))
    assert await collected(shop) == [1500]
