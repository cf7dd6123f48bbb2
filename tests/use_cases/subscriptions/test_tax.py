"""Tax of subscriptions, changes, charges and add-ons, by the catalog's rates and by Stripe Tax."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.subscriptions.domain.tax_settings import TaxSettings
from tallystick.messages import catalog
from tallystick.messages import subscriptions as m
from tests.support.worlds.plan_changes import FEBRUARY, MIDDLE
from tests.support.worlds.subscriptions import ACME, OpenShop
from tests.support.worlds.taxes import VAT, Taxpayer, fills_in, taxed, taxed_catalog

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

HOUR = timedelta(hours=2)
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
AUTOMATIC = TaxSettings("stripe_automatic", tax_id_collection=True)
Opens = Callable[..., Awaitable[Taxpayer]]


@pytest.fixture
def by_rates(open_shop: OpenShop) -> Opens:
    """A shop with rates in its catalog."""

    async def opens(*rates: dict[str, Any], **terms: Any) -> Taxpayer:
        return Taxpayer(await open_shop(taxed_catalog(*(rates or (VAT,)), **terms)))

    return opens


@pytest.fixture
def by_stripe(open_shop: OpenShop) -> Opens:
    """A shop where Stripe Tax computes the tax."""

    async def opens(tax: TaxSettings = AUTOMATIC, **terms: Any) -> Taxpayer:
        behavior = {"tax_behavior": "exclusive", **terms}
        return Taxpayer(await open_shop(taxed_catalog(**behavior), tax=tax))

    return opens


# -- by the rates of the catalog ----------------------------------------------------------------------------


async def test_a_rate_of_the_catalog_is_made_in_stripe_and_taxes_what_is_bought(by_rates: Opens) -> None:
    mine = await by_rates()
    await mine.begins_at()

    [invoice] = await mine.invoices()
    assert taxed(invoice) == (3000, 570, 3570)
    assert (invoice["amount_paid"], invoice["lines"][0]["amount"]) == (3570, 3000)
    [by_rate] = invoice["taxes"]
    assert (by_rate["tax_rate"], by_rate["display_name"], by_rate["percentage"], by_rate["country"]) == (
        "vat_de", "VAT", "19", "DE",
    )  # fmt: skip
    in_stripe = mine.world.stripe.v1.tax_rates.retrieve(by_rate["stripe_tax_rate_id"]).to_dict()
    assert in_stripe["metadata"] == {"tallystick_tax_rate": "vat_de"}
    told = await mine.world.told("tax_rate")
    assert [name for name, _ in told] == ["createdV1"]


@pytest.mark.parametrize("proration", ["prorate", "invoice"])
async def test_a_preview_of_more_seats_is_what_is_charged(by_rates: Opens, proration: m.Proration) -> None:
    # Half of January for 3 of 8 seats at 10.00: -15.00 and 40.00; 19 %: -2.85 and 7.60.
    mine = await by_rates()
    await mine.begins_at()
    await mine.reaches(MIDDLE)
    preview = await mine.preview(quantity=8, proration=proration)
    await mine.world.does(await mine.quantity(8, proration=proration))
    if proration == "invoice":
        await mine.world.catches_up()
        assert taxed(preview["totals"]) == taxed(await mine.newest_invoice()) == (2500, 475, 2975)
        assert (preview["due_now"]["amount"], preview["next_invoice"]["amount"]) == (2975, 9520)
        assert await mine.renews(FEBRUARY + HOUR) == (8000, 1520, 9520)
        return
    assert (preview["due_now"]["amount"], preview["next_invoice"]["amount"]) == (0, 12495)
    assert preview["next_invoice_tax"]["amount"] == 1995
    assert taxed(preview["totals"]) == await mine.renews(FEBRUARY + HOUR) == (10500, 1995, 12495)


async def test_a_scheduled_change_keeps_the_tax(by_rates: Opens) -> None:
    mine = await by_rates()
    await mine.begins_at()
    later = await mine.preview(quantity=2)
    assert (taxed(later["totals"]), later["when"]) == ((2000, 380, 2380), "period_end")
    await mine.world.does(await mine.quantity(2))
    await mine.world.catches_up()
    # One more while something is scheduled: the preview leaves the schedule out.
    assert taxed((await mine.preview(quantity=5, proration="none"))["totals"]) == (5000, 950, 5950)
    assert await mine.renews(FEBRUARY + HOUR) == (2000, 380, 2380)
    assert await mine.renews(MARCH + HOUR) == (2000, 380, 2380)


async def test_a_plan_with_another_period_is_taxed_from_its_first_day(by_rates: Opens) -> None:
    # 3 × 100.00 for a year, less half of January: 300.00 - 15.00 = 285.00; 19 %: 54.15.
    mine = await by_rates()
    await mine.begins_at()
    await mine.reaches(MIDDLE)
    preview = await mine.preview(price="crew_yearly", when="now")
    await mine.world.does(await mine.plan("crew_yearly", when="now"))
    await mine.world.catches_up()
    assert taxed(preview["totals"]) == taxed(await mine.newest_invoice()) == (28500, 5415, 33915)
    assert (preview["due_now"]["amount"], preview["next_invoice"]["amount"]) == (33915, 35700)


async def test_prices_that_include_their_tax_stay_what_they_are(by_rates: Opens) -> None:
    # 30.00 with 19 %: 25.21 and 4.79.
    mine = await by_rates({**VAT, "inclusive": True}, tax_behavior="inclusive")
    await mine.begins_at()
    [invoice] = await mine.invoices()
    assert taxed(invoice) == (2521, 479, 3000)
    assert invoice["taxes"][0]["inclusive"] is True
    assert await mine.renews(FEBRUARY + HOUR) == (2521, 479, 3000)


async def test_a_discount_comes_off_before_the_tax(by_rates: Opens) -> None:
    mine = await by_rates()
    await mine.begins_at()
    v1 = mine.world.stripe.v1
    coupon = v1.coupons.create({"percent_off": 20, "duration": "forever"}).id
    stripe_id = (await mine.world.subscription())["stripe_subscription_id"]
    v1.subscriptions.update(stripe_id, {"discounts": [{"coupon": coupon}]})
    coming = await mine.coming()
    assert (coming["subtotal"], coming["discount"]) == (3000, 600)
    assert await mine.renews(FEBRUARY + HOUR) == (2400, 456, 2856)


async def test_a_credit_balance_pays_the_tax_as_well(by_rates: Opens) -> None:
    mine = await by_rates()
    await mine.begins_at()
    credit: Any = {"amount": -1000, "currency": "eur"}
    mine.world.stripe.v1.customers.balance_transactions.create(mine.theirs, credit)
    preview = await mine.preview(quantity=3)
    assert (preview["totals"]["total"], preview["next_invoice"]["amount"]) == (3570, 2570)
    assert await mine.renews(FEBRUARY + HOUR) == (3000, 570, 3570)
    assert (await mine.newest_invoice())["amount_due"] == 2570


async def test_yen_are_rounded_to_whole_ones(by_rates: Opens) -> None:
    # ¥505 and 10 %: ¥50.5, which is ¥51.
    mine = await by_rates({**VAT, "percentage": 10})
    await mine.begins_at("yen_monthly", 1)
    assert taxed((await mine.invoices())[0]) == (505, 51, 556)


async def test_a_new_rate_applies_from_the_next_change_on(by_rates: Opens) -> None:
    mine = await by_rates()
    await mine.begins_at()
    lower = {**VAT, "code": "vat_de_16", "percentage": 16}
    changed = catalog.ApplyCatalog(command_id=mine.world.command_id(), catalog=taxed_catalog(lower))
    changes = (await mine.world.does(changed))["changes"]["tax_rates"]
    assert (changes["created"], changes["archived"]) == (["vat_de_16"], ["vat_de"])
    assert await mine.renews(FEBRUARY + HOUR) == (3000, 570, 3570)
    preview = await mine.preview(quantity=4, proration="none")
    await mine.world.does(await mine.quantity(4, proration="none"))
    assert taxed(preview["totals"]) == await mine.renews(MARCH + HOUR) == (4000, 640, 4640)


async def test_a_change_is_scheduled_although_the_present_rate_is_archived(by_rates: Opens) -> None:
    mine = await by_rates()
    await mine.begins_at()
    lower = {**VAT, "code": "vat_de_16", "percentage": 16}
    changed = catalog.ApplyCatalog(command_id=mine.world.command_id(), catalog=taxed_catalog(lower))
    await mine.world.does(changed)
    await mine.world.does(await mine.quantity(2))
    await mine.world.catches_up()
    assert await mine.renews(FEBRUARY + HOUR) == (2000, 320, 2320)


async def test_running_subscriptions_get_the_rate_that_replaced_theirs(by_rates: Opens) -> None:
    mine = await by_rates()
    world, v1 = mine.world, mine.world.stripe.v1
    await world.register()
    await world.buys("solo_monthly")
    await world.catches_up()
    stripe_id = (await world.subscription())["stripe_subscription_id"]
    lower = {**VAT, "code": "vat_de_16", "percentage": 16}
    await world.does(catalog.ApplyCatalog(command_id=world.command_id(), catalog=taxed_catalog(lower)))
    await world.bound.tick("sync_stripe", world.bound.now)

    [rate] = v1.subscriptions.retrieve(stripe_id)["items"].data[0].tax_rates or []
    assert rate.percentage == 16
    assert taxed(await mine.coming()) == (4900, 784, 5684)
    assert len(v1.invoices.list({"subscription": stripe_id}).data) == 1
    # Without a successor, the rate stays.
    await world.does(catalog.ApplyCatalog(command_id=world.command_id(), catalog=taxed_catalog()))
    await world.bound.tick("sync_stripe", world.bound.now + timedelta(hours=1))
    assert taxed(await mine.coming()) == (4900, 784, 5684)


async def test_a_rate_that_staff_attached_in_stripe_stays(by_rates: Opens) -> None:
    mine = await by_rates()
    await mine.begins_at()
    v1 = mine.world.stripe.v1
    special = v1.tax_rates.create({"display_name": "GST", "percentage": 5, "inclusive": False}).id
    stripe_id = (await mine.world.subscription())["stripe_subscription_id"]
    item = v1.subscriptions.retrieve(stripe_id)["items"].data[0].id
    v1.subscriptions.update(stripe_id, {"items": [{"id": item, "tax_rates": [special]}]})
    await mine.world.catches_up()
    await mine.world.does(await mine.quantity(4, proration="none"))
    assert await mine.renews(FEBRUARY + HOUR) == (4000, 200, 4200)
    [by_rate] = (await mine.newest_invoice())["taxes"]
    assert (by_rate["tax_rate"], by_rate["display_name"], by_rate["percentage"]) == (None, "GST", "5")


@pytest.mark.parametrize(("feature", "expected"), [("hours", (7500, 1425, 8925)), (None, (7500, 1425, 8925))])
async def test_a_charge_is_taxed_by_its_feature_or_by_the_default_rates(
    by_rates: Opens, feature: str | None, expected: tuple[int, int, int]
) -> None:
    mine = await by_rates()
    await mine.arrives()
    asked = m.PreviewCharge(customer=ACME, amount=m.Charge(amount=7500, currency="eur"), feature=feature)
    assert taxed((await mine.world.asks(asked))["totals"]) == expected
    paid = (await mine.world.does(charge(mine, feature)))["invoice"]
    assert (taxed(paid), paid["amount_paid"]) == (expected, expected[2])
    assert paid["taxes"][0]["tax_rate"] == "vat_de"


async def test_a_preview_of_a_charge_leaves_the_next_invoice_out(by_rates: Opens) -> None:
    mine = await by_rates()
    await mine.begins_at()
    asked = m.PreviewCharge(customer=ACME, amount=m.Charge(amount=100, currency="eur"))
    assert taxed((await mine.world.asks(asked))["totals"]) == (100, 19, 119)
    assert taxed(await mine.coming()) == (3000, 570, 3570)


async def test_an_add_on_costs_what_its_preview_says(by_rates: Opens) -> None:
    mine = await by_rates()
    await mine.begins_at()
    preview = await mine.preview(add_price="domain_yearly")
    bought = await mine.world.does(purchase(mine))
    await mine.world.catches_up()
    assert bought["add_on"]["status"] == "active"
    assert taxed(preview["totals"]) == taxed(await mine.newest_invoice()) == (1500, 285, 1785)
    assert preview["due_now"]["amount"] == preview["next_invoice"]["amount"] == 1785


async def test_a_checkout_page_shows_the_tax_and_charges_it(by_rates: Opens) -> None:
    mine = await by_rates()
    await mine.world.register()
    started = await mine.world.does(mine.world.checkout("solo_monthly"))
    page = await fills_in(started["checkout_url"])
    await mine.world.catches_up()
    assert "VAT 19%" in page and "€58.31" in page
    assert taxed((await mine.invoices())[0]) == (4900, 931, 5831)


async def test_units_beyond_the_included_ones_are_taxed_on_the_renewal_s_invoice(by_rates: Opens) -> None:
    # 30.00 for the next month and 5 hours at 15.00: 105.00; 19 %: 5.70 and 14.25.
    mine = await by_rates()
    await mine.begins_at()
    await mine.reaches(FEBRUARY)
    await mine.world.does(await overage(mine))
    await mine.reaches(FEBRUARY + HOUR)
    assert taxed(await mine.newest_invoice()) == (10500, 1995, 12495)


# -- by Stripe Tax ------------------------------------------------------------------------------------------


async def test_stripe_tax_follows_the_customer_who_moves(by_stripe: Opens) -> None:
    mine = await by_stripe()
    await mine.begins_at(country="DE")
    mine.moves_to("AT")
    await mine.renews(FEBRUARY + HOUR)
    first, second = await mine.invoices()
    assert (taxed(first), taxed(second)) == ((3000, 570, 3570), (3000, 600, 3600))
    [by_rate] = second["taxes"]
    assert (by_rate["display_name"], by_rate["percentage"], by_rate["country"]) == ("VAT", "20", "AT")
    assert by_rate["tax_rate"] is None


async def test_a_business_elsewhere_accounts_for_the_tax_itself(by_stripe: Opens) -> None:
    mine = await by_stripe()
    await mine.arrives("FR")
    mine.has_vat_id("FR12345678901")
    await mine.world.does(mine.creation("crew_monthly", 3))
    await mine.world.catches_up()
    [invoice] = await mine.invoices()
    assert (taxed(invoice), invoice["taxes"][0]["reason"]) == ((3000, 0, 3000), "reverse_charge")
    preview = await mine.preview(quantity=8, proration="none")
    assert preview["totals"]["taxes"][0]["reason"] == "reverse_charge"


async def test_changes_and_schedules_stay_automatic(by_stripe: Opens) -> None:
    mine = await by_stripe()
    await mine.begins_at(country="DE")
    await mine.reaches(MIDDLE)
    preview = await mine.preview(quantity=8, proration="invoice")
    await mine.world.does(await mine.quantity(8, proration="invoice"))
    await mine.world.catches_up()
    assert taxed(preview["totals"]) == taxed(await mine.newest_invoice()) == (2500, 475, 2975)
    await mine.world.does(await mine.quantity(2))
    await mine.world.catches_up()
    assert taxed((await mine.preview(quantity=9, proration="none"))["totals"]) == (9000, 1710, 10710)
    assert await mine.renews(FEBRUARY + HOUR) == (2000, 380, 2380)
    assert await mine.renews(MARCH + HOUR) == (2000, 380, 2380)


async def test_without_an_address_nothing_is_created_or_charged(by_stripe: Opens) -> None:
    mine = await by_stripe()
    await mine.arrives()
    assert (await mine.world.refuses(mine.creation("crew_monthly")))[0] == "tax_location_required"
    assert (await mine.world.refuses(charge(mine, "hours")))[0] == "tax_location_required"
    assert mine.world.stripe.v1.invoices.list({"customer": mine.theirs}).data == []
    asked = m.PreviewCharge(customer=ACME, amount=m.Charge(amount=7500, currency="eur"), feature="hours")
    totals = (await mine.world.asks(asked))["totals"]
    assert (totals["tax"], totals["tax_unknown"]) == (0, True)
    mine.moves_to("DE")
    assert taxed((await mine.world.does(charge(mine, "hours")))["invoice"]) == (7500, 1425, 8925)


async def test_the_checkout_page_asks_for_what_the_tax_depends_on(by_stripe: Opens) -> None:
    mine = await by_stripe()
    await mine.arrives()
    started = await mine.world.does(mine.world.checkout("solo_monthly"))
    page = await fills_in(started["checkout_url"], country="FR", name="Boutique", tax_id="FR12345678901")
    await mine.world.catches_up()
    assert "reverse charge" in page
    assert taxed((await mine.invoices())[0]) == (4900, 0, 4900)
    assert mine.world.stripe.v1.customers.retrieve(mine.theirs).name == "Boutique"


async def test_an_add_on_without_an_address_is_bought_on_the_page_that_asks_for_it(by_stripe: Opens) -> None:
    mine = await by_stripe(TaxSettings())
    await mine.begins_at("solo_monthly", 1)
    # Stripe Tax is switched on afterwards.
    mine.world.gateway.tax = AUTOMATIC
    bought = await mine.world.does(purchase(mine))
    await fills_in(bought["checkout_url"], country="DE")
    await mine.world.catches_up()
    assert taxed(await mine.newest_invoice()) == (1500, 285, 1785)
    assert taxed((await mine.invoices())[0]) == (4900, 0, 4900)


async def test_an_address_is_asked_for_without_stripe_tax_too(open_shop: OpenShop) -> None:
    tax = TaxSettings(billing_address_collection="required")
    mine = Taxpayer(await open_shop(taxed_catalog(VAT), tax=tax))
    await mine.arrives()
    started = await mine.world.does(mine.world.checkout("solo_monthly"))
    await fills_in(started["checkout_url"], country="DE")
    customer = mine.world.stripe.v1.customers.retrieve(mine.theirs)
    assert customer.address is not None and customer.address.country == "DE"


async def test_what_is_paid_outside_has_no_tax(by_rates: Opens) -> None:
    mine = await by_rates()
    await mine.world.register()
    outside = mine.creation("solo_monthly").model_copy(update={"collection": "none"})
    await mine.world.does(outside)
    assert taxed(await mine.coming()) == (4900, 0, 4900)
    preview = await mine.preview(price="crew_monthly", quantity=2, when="now")
    assert (preview["totals"]["tax"], preview["next_invoice_tax"]["amount"]) == (0, 0)


@pytest.mark.parametrize(("renews", "total"), [(True, (10500, 1995, 12495)), (False, (7500, 1425, 8925))])
async def test_units_beyond_are_taxed_as_their_invoice_is(
    by_stripe: Opens, renews: bool, total: tuple[int, int, int]
) -> None:
    mine = await by_stripe()
    await mine.begins_at(country="DE")
    if renews:
        await mine.reaches(FEBRUARY)
        # What is new is no longer automatic; the renewal's draft is.
        mine.world.gateway.tax = TaxSettings()
    await mine.world.does(await overage(mine))
    await mine.reaches(FEBRUARY + HOUR if renews else MIDDLE)
    assert taxed(await mine.newest_invoice()) == total


async def overage(mine: Taxpayer) -> m.BillOverage:
    line = m.OverageLine(feature="hours", quantity=5, unit_amount=1500, description="5 hours")
    return m.BillOverage(
        command_id=mine.world.command_id(),
        customer=ACME,
        subscription_id=await mine.id(),
        currency="eur",
        lines=[line],
        reference="overage_1",
    )


def charge(mine: Taxpayer, feature: str | None) -> m.ChargeCustomer:
    return m.ChargeCustomer(
        command_id=mine.world.command_id(),
        customer=ACME,
        amount=m.Charge(amount=7500, currency="eur"),
        description="5 hours",
        reference="recharge_1",
        feature=feature,
    )


def purchase(mine: Taxpayer) -> m.PurchaseAddOn:
    return m.PurchaseAddOn(
        command_id=mine.world.command_id(),
        customer=ACME,
        price="domain_yearly",
        success_url="https://shop.example/thanks",
        cancel_url="https://shop.example/plans",
    )
