"""Net amounts and taxes of invoices, read from Stripe's JSON and added up from lines."""

from typing import Any

from services.subscriptions.domain.catalog.catalog_view import CatalogView
from services.subscriptions.domain.invoice_taxes import TaxRateDetails, gross, tax_rate_ids, totals_of
from services.subscriptions.domain.invoices import Invoice, invoice_totals, read_invoice
from tests.support.subscription_values import stripe_invoice

RATES = {"txr_de": TaxRateDetails("VAT", "19", "DE", "vat_de")}
LINE: dict[str, Any] = {"description": "Team", "quantity": 1, "period": {"start": 0, "end": 1}}


def tax(amount: int, on: int, *, reason: str = "standard_rated", **fields: Any) -> dict[str, Any]:
    known = {
        "amount": amount,
        "tax_behavior": "exclusive",
        "tax_rate_details": {"tax_rate": "txr_de"},
        "taxability_reason": reason,
        "taxable_amount": on,
        "type": "tax_rate_details",
    }
    return {**known, **fields}


def read(*lines: dict[str, Any], **fields: Any) -> Invoice:
    body = stripe_invoice(lines={"data": [{**LINE, **line} for line in lines]}, **fields)
    return read_invoice(body, CatalogView(), RATES)


def taxed() -> Invoice:
    """An invoice of 100.00 with a discount of 20.00, 19 % added: 80.00 + 15.20."""
    return read(
        {"amount": 10000, "discount_amounts": [{"amount": 2000}], "taxes": [tax(1520, 8000)]},
        subtotal=10000,
        total_discount_amounts=[{"amount": 2000, "discount": "di_1"}],
        total_excluding_tax=8000,
        total_taxes=[tax(1520, 8000)],
        total=9520,
        amount_due=9020,
    )


def test_an_invoice_tells_net_tax_and_gross() -> None:
    found = taxed()
    assert (found.subtotal, found.discount, found.total_excluding_tax, found.tax, found.total) == (
        10000, 2000, 8000, 1520, 9520,
    )  # fmt: skip
    [by_rate] = found.taxes
    assert (by_rate.tax_rate, by_rate.display_name, by_rate.percentage, by_rate.country) == (
        "vat_de", "VAT", "19", "DE",
    )  # fmt: skip
    assert (by_rate.amount, by_rate.taxable_amount, by_rate.inclusive) == (1520, 8000, False)
    [line] = found.lines
    assert (line.amount, line.net, line.tax, gross(line)) == (10000, 8000, 1520, 9520)


def test_an_included_tax_is_part_of_the_line_s_amount() -> None:
    found = read(
        {"amount": 11900, "taxes": [tax(1900, 10000, tax_behavior="inclusive")]},
        subtotal=11900,
        total_excluding_tax=10000,
        total_taxes=[tax(1900, 10000, tax_behavior="inclusive")],
        total=11900,
    )
    [line] = found.lines
    assert (line.amount, line.net, line.tax, gross(line)) == (11900, 10000, 1900, 11900)
    assert (found.total_excluding_tax, found.tax, found.total) == (10000, 1900, 11900)


def test_reverse_charge_is_a_tax_of_nothing_with_its_reason() -> None:
    [found] = read(
        {"amount": 10000, "taxes": [tax(0, 10000, reason="reverse_charge")]},
        total=10000,
        total_taxes=[tax(0, 10000, reason="reverse_charge")],
    ).taxes
    assert (found.amount, found.reason, found.display_name) == (0, "reverse_charge", "VAT")


def test_an_invoice_of_an_older_api_version_has_no_tax() -> None:
    body = stripe_invoice(
        lines={"data": [{**LINE, "amount": 1000, "taxes": None}]}, total_taxes=None, total=1000
    )
    for name in ("subtotal", "total_excluding_tax", "total_discount_amounts"):
        body.pop(name, None)
    found = read_invoice(body, CatalogView())
    assert (found.subtotal, found.discount, found.total_excluding_tax, found.tax) == (1000, 0, 1000, 0)
    assert found.taxes == () and tax_rate_ids(body) == set()


def test_of_a_rate_that_is_not_known_the_amount_is_told() -> None:
    foreign = tax(100, 1000, tax_rate_details={"tax_rate": "txr_new"})
    body = stripe_invoice(total_taxes=[foreign], total_excluding_tax=1000, total=1100)
    [found] = read_invoice(body, CatalogView(), RATES).taxes
    assert (found.amount, found.stripe_tax_rate_id, found.percentage) == (100, "txr_new", None)
    assert tax_rate_ids(body) == {"txr_new"}


def test_lines_add_up_to_the_totals_of_their_invoice() -> None:
    found = taxed()
    assert totals_of(found.lines) == invoice_totals(found).model_copy(update={"amount_due": 9520})


def test_lines_of_one_rate_are_one_tax_and_a_credit_lowers_it() -> None:
    # A credit of 30.00 and a charge of 100.00 at 19 %: 70.00 net, 13.30 tax.
    found = read(
        {"amount": -3000, "taxes": [tax(-570, -3000)]},
        {"amount": 10000, "taxes": [tax(1900, 10000)]},
        total=8330,
    )
    totals = totals_of(found.lines)
    assert (totals.total_excluding_tax, totals.tax, totals.total, totals.discount) == (7000, 1330, 8330, 0)
    assert [(each.amount, each.taxable_amount) for each in totals.taxes] == [(1330, 7000)]


def test_a_credit_of_more_than_it_costs_is_not_due() -> None:
    totals = totals_of(read({"amount": -1000, "taxes": [tax(-190, -1000)]}, total=-1190).lines)
    assert (totals.total, totals.amount_due) == (-1190, 0)
