"""Taxes in the stand-in, by tax rates and by the customer's country, through Stripe's own SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import stripe

from tests.support.sandbox_stripe.billing_world import World, running
from tests.support.sandbox_stripe.stand_in import StandIn

AUTOMATIC = {"enabled": True}


@pytest.fixture(scope="module")
def served() -> Iterator[StandIn]:
    with running() as found:
        yield found


@pytest.fixture
def world(served: StandIn) -> World:
    return World(served)


def rate(world: World, percentage: float = 19, *, inclusive: bool = False) -> str:
    params = {"display_name": "VAT", "percentage": percentage, "inclusive": inclusive}
    made: str = world.v1.tax_rates.create(params).id
    return made


def lives_in(world: World, country: str) -> None:
    world.v1.customers.update(world.customer, {"address": {"country": country}})


def amounts(invoice: Any) -> tuple[int, int, int]:
    """Net amount, tax and total of an invoice."""
    return invoice.total_excluding_tax, sum(tax.amount for tax in invoice.total_taxes), invoice.total


def item(world: World, price: str, *rates: str, quantity: int = 1) -> dict[str, Any]:
    return {"customer": world.customer, "items": [
        {"price": price, "quantity": quantity, "tax_rates": list(rates)}
    ]}  # fmt: skip


def test_an_attached_rate_is_added_to_its_line(world: World) -> None:
    made = world.v1.subscriptions.create(item(world, world.price(1000), rate(world), quantity=3))
    [invoice] = world.invoices()

    assert amounts(invoice) == (3000, 570, 3570)
    assert (invoice.subtotal, invoice.amount_paid) == (3000, 3570)
    [tax] = invoice.lines.data[0].taxes
    assert (tax.amount, tax.taxable_amount, tax.tax_behavior) == (570, 3000, "exclusive")
    assert (tax.taxability_reason, tax.type) == ("standard_rated", "tax_rate_details")
    assert made["items"].data[0].tax_rates[0].percentage == 19
    assert world.v1.tax_rates.retrieve(tax.tax_rate_details.tax_rate).display_name == "VAT"


def test_an_included_rate_leaves_the_total_as_it_is(world: World) -> None:
    world.v1.subscriptions.create(item(world, world.price(11900), rate(world, inclusive=True)))
    [invoice] = world.invoices()
    assert amounts(invoice) == (10000, 1900, 11900)
    assert (invoice.subtotal, invoice.subtotal_excluding_tax) == (11900, 10000)


def test_each_line_is_rounded_by_itself_halves_away_from_zero(world: World) -> None:
    # Two tiers of 0.50 each at 15 %: 7.5 cents become 8 twice, not 15 once.
    tiers = world.tiered("graduated", (1, 50), ("inf", 50))
    world.v1.subscriptions.create(item(world, tiers, rate(world, 15), quantity=2))
    [invoice] = world.invoices()
    assert [line.taxes[0].amount for line in invoice.lines.data] == [8, 8]
    assert amounts(invoice) == (100, 16, 116)


def test_prorations_are_taxed_with_the_rate_of_their_item(world: World) -> None:
    made = world.v1.subscriptions.create(item(world, world.price(3100), rate(world, 10)))
    world.advance("2026-01-16T12:00:00")
    world.change(made, 2, proration_behavior="always_invoice")
    invoice = world.invoices()[-1]
    # Half a month: -15.50 and 31.00, with 10 %: -1.55 and 3.10.
    assert [line.taxes[0].amount for line in invoice.lines.data] == [-155, 310]
    assert amounts(invoice) == (1550, 155, 1705)


def test_a_discount_lowers_the_tax(world: World) -> None:
    coupon = world.v1.coupons.create({"percent_off": 20, "duration": "forever"}).id
    wanted = item(world, world.price(10000), rate(world)) | {"discounts": [{"coupon": coupon}]}
    world.v1.subscriptions.create(wanted)
    [invoice] = world.invoices()
    assert amounts(invoice) == (8000, 1520, 9520)
    assert invoice.lines.data[0].discount_amounts[0].amount == 2000


def test_a_credit_balance_pays_tax_too(world: World) -> None:
    world.v1.customers.balance_transactions.create(world.customer, {"amount": -500, "currency": "eur"})
    world.v1.subscriptions.create(item(world, world.price(1000), rate(world)))
    [invoice] = world.invoices()
    assert (invoice.total, invoice.amount_due) == (1190, 690)


def test_yen_have_no_fractions(world: World) -> None:
    price = world.price(505, currency="jpy")
    world.v1.subscriptions.create(item(world, price, rate(world, 10)))
    assert amounts(world.invoices()[0]) == (505, 51, 556)


def test_rates_that_do_not_go_together_are_refused(world: World) -> None:
    price = world.price(1000)
    lives_in(world, "DE")
    with pytest.raises(stripe.InvalidRequestError, match="cannot combine inclusive and exclusive"):
        world.v1.subscriptions.create(item(world, price, rate(world), rate(world, inclusive=True)))
    with pytest.raises(stripe.InvalidRequestError, match="when automatic tax is enabled"):
        world.v1.subscriptions.create(item(world, price, rate(world)) | {"automatic_tax": AUTOMATIC})
    archived = rate(world)
    world.v1.tax_rates.update(archived, {"active": False})
    with pytest.raises(stripe.InvalidRequestError, match="archived"):
        world.v1.subscriptions.create(item(world, price, archived))
    with pytest.raises(stripe.InvalidRequestError, match="unknown parameter"):
        world.v1.tax_rates.update(archived, {"percentage": 7})


@pytest.mark.parametrize(
    ("country", "vat_id", "expected", "reason"),
    [
        ("DE", None, (10000, 1900, 11900), "standard_rated"),
        ("DE", "DE123456789", (10000, 1900, 11900), "standard_rated"),
        ("FR", None, (10000, 2000, 12000), "standard_rated"),
        ("FR", "FR12345678901", (10000, 0, 10000), "reverse_charge"),
        ("US", None, (10000, 0, 10000), "not_collecting"),
    ],
)
def test_automatic_tax_follows_country_and_vat_id(
    world: World, country: str, vat_id: str | None, expected: tuple[int, int, int], reason: str
) -> None:
    lives_in(world, country)
    if vat_id is not None:
        world.v1.customers.tax_ids.create(world.customer, {"type": "eu_vat", "value": vat_id})
    price = world.price(10000, tax_behavior="exclusive")
    world.subscribe((price, 1), automatic_tax=AUTOMATIC)
    [invoice] = world.invoices()
    assert amounts(invoice) == expected
    assert invoice.total_taxes[0].taxability_reason == reason
    assert (invoice.automatic_tax.enabled, invoice.automatic_tax.status) == (True, "complete")
    assert [each.value for each in invoice.customer_tax_ids] == ([vat_id] if vat_id else [])


def test_automatic_tax_needs_a_country(world: World) -> None:
    price = world.price(10000, tax_behavior="exclusive")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        world.subscribe((price, 1), automatic_tax=AUTOMATIC)
    assert refused.value.code == "customer_tax_location_invalid"
    details = {"items": [{"price": price, "quantity": 1}]}
    asked = {"customer": world.customer, "automatic_tax": AUTOMATIC, "subscription_details": details}
    preview = world.v1.invoices.create_preview(asked)
    assert (preview.automatic_tax.status, preview.total) == ("requires_location_inputs", 10000)
    assumed = {"customer_details": {"address": {"country": "AT"}}}
    assert world.v1.invoices.create_preview(asked | assumed).total == 12000


def test_a_renewal_is_taxed_where_the_customer_lives_then(world: World) -> None:
    lives_in(world, "DE")
    world.subscribe((world.price(10000, tax_behavior="exclusive"), 1), automatic_tax=AUTOMATIC)
    lives_in(world, "AT")
    world.advance("2026-02-01T02:00:00")
    assert [amounts(each) for each in world.invoices()] == [(10000, 1900, 11900), (10000, 2000, 12000)]
    world.v1.customers.update(world.customer, {"address": ""})
    world.advance("2026-03-01T02:00:00")
    last = world.invoices()[-1]
    assert amounts(last) == (10000, 0, 10000)
    assert last.automatic_tax.disabled_reason == "finalization_requires_location_inputs"


def test_who_is_exempt_pays_no_tax_of_an_attached_rate(world: World) -> None:
    world.v1.customers.update(world.customer, {"tax_exempt": "reverse"})
    world.v1.subscriptions.create(item(world, world.price(10000), rate(world)))
    [invoice] = world.invoices()
    assert (amounts(invoice), invoice.total_taxes[0].taxability_reason) == (
        (10000, 0, 10000),
        "reverse_charge",
    )


def test_a_phase_of_a_schedule_says_its_rates(world: World) -> None:
    made = world.v1.subscriptions.create(item(world, world.price(1000), rate(world)))
    schedule = world.v1.subscription_schedules.create({"from_subscription": made.id})
    [phase] = schedule.phases
    assert [len(each.tax_rates) for each in phase["items"]] == [1]
    kept = [each.price for each in phase["items"]]
    world.v1.subscription_schedules.update(
        schedule.id,
        {
            "phases": [
                {"items": [{"price": kept[0]}], "start_date": phase.start_date, "end_date": phase.end_date},
                {"items": [{"price": kept[0], "tax_rates": [rate(world, 7)]}],
                 "duration": {"interval": "month"}, "proration_behavior": "none"},
            ]
        },
    )  # fmt: skip
    coming = world.v1.invoices.create_preview({"subscription": made.id})
    world.advance("2026-02-01T02:00:00")
    assert amounts(coming) == amounts(world.invoices()[-1]) == (1000, 70, 1070)


def test_an_invoice_by_hand_is_taxed_by_its_item(world: World) -> None:
    draft = world.v1.invoices.create({"customer": world.customer, "currency": "eur"}).id
    world.v1.invoice_items.create(
        {"customer": world.customer, "invoice": draft, "amount": 7500, "tax_rates": [rate(world)]}
    )
    assert amounts(world.v1.invoices.pay(draft)) == (7500, 1425, 8925)
    page = httpx.get(str(world.v1.invoices.retrieve(draft).hosted_invoice_url), trust_env=False).text
    assert "VAT 19%" in page and "€89.25" in page


def test_an_automatic_invoice_by_hand_needs_the_country(world: World) -> None:
    wanted = {"customer": world.customer, "currency": "eur", "automatic_tax": AUTOMATIC}
    draft = world.v1.invoices.create(wanted).id
    behavior = {"amount": 11900, "tax_behavior": "inclusive"}
    world.v1.invoice_items.create({"customer": world.customer, "invoice": draft, **behavior})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        world.v1.invoices.finalize_invoice(draft)
    assert refused.value.code == "customer_tax_location_invalid"
    lives_in(world, "DE")
    assert amounts(world.v1.invoices.finalize_invoice(draft)) == (10000, 1900, 11900)


def checkout(world: World, price: str, **more: Any) -> Any:
    wanted = {"mode": "subscription", "customer": world.customer, "success_url": "https://shop.example",
              "line_items": [{"price": price, "quantity": 1}]}  # fmt: skip
    return world.v1.checkout.sessions.create(wanted | more)


def test_a_checkout_page_asks_for_the_country_and_the_vat_id(world: World) -> None:
    price = world.price(10000, tax_behavior="exclusive")
    saved = {"customer_update": {"address": "auto", "name": "auto"}}
    more = {"automatic_tax": AUTOMATIC, "tax_id_collection": {"enabled": True}, **saved}
    session = checkout(world, price, **more)
    assert session.automatic_tax.status == "requires_location_inputs"
    with httpx.Client(trust_env=False) as browser:
        card = {"card_number": "4242424242424242"}
        assert browser.post(session.url, data=card).status_code == 400
        shown = browser.post(session.url, data={"apply": "1", "country": "fr"}).text
        assert "VAT 20%" in shown and "€120.00" in shown
        business = {"name": "Boutique", "tax_id": "FR12345678901"}
        assert "reverse charge" in browser.post(session.url, data={"apply": "1", **business}).text
        assert browser.post(session.url, data=card).status_code == 303
    done = world.v1.checkout.sessions.retrieve(session.id)
    assert (done.total_details.amount_tax, done.amount_total) == (0, 10000)
    assert done.customer_details.tax_ids[0].value == "FR12345678901"
    customer = world.v1.customers.retrieve(world.customer, {"expand": ["tax_ids"]})
    assert (customer.address.country, customer.name) == ("FR", "Boutique")
    assert [each.type for each in customer.tax_ids.data] == ["eu_vat"]
    assert amounts(world.invoices()[0]) == (10000, 0, 10000)


def test_a_checkout_takes_the_rates_of_its_items(world: World) -> None:
    line = {"price": world.price(10000), "quantity": 1, "tax_rates": [rate(world)]}
    session = checkout(world, "", line_items=[line])
    assert (session.amount_subtotal, session.total_details.amount_tax, session.amount_total) == (
        10000, 1900, 11900,
    )  # fmt: skip
    httpx.post(session.url, data={"card_number": "4242424242424242"}, trust_env=False)
    assert amounts(world.invoices()[0]) == (10000, 1900, 11900)


def test_a_checkout_that_could_not_save_the_details_is_refused(world: World) -> None:
    price = world.price(10000, tax_behavior="exclusive")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        checkout(world, price, automatic_tax=AUTOMATIC)
    assert refused.value.code == "customer_tax_location_invalid"
    with pytest.raises(stripe.InvalidRequestError, match="customer_update"):
        checkout(world, price, tax_id_collection={"enabled": True})
