"""Taxes as customers read them: net, tax and total, reverse charge, in both languages."""

import pytest

from services.gateway.pages.i18n import load_translations
from services.gateway.pages.tax_text import AmountRow, price_note, tax_name, tax_notes, total_rows
from tallystick.messages.subscriptions import InvoiceTax, PreviewTotals
from tallystick.messages.tax_rates import TaxBehavior, TaxRate
from tests.support.price_values import price

EN, DE = load_translations("en"), load_translations("de")
NBSP = "\xa0"
VAT = InvoiceTax(
    amount=1520, taxable_amount=8000, inclusive=False, reason="standard_rated", display_name="VAT",
    percentage="19", country="DE",
)  # fmt: skip
REVERSED = VAT.model_copy(update={"amount": 0, "reason": "reverse_charge", "percentage": "0"})


def totals(*taxes: InvoiceTax, subtotal: int, total: int, due: int | None = None) -> PreviewTotals:
    tax = sum(each.amount for each in taxes)
    added = sum(each.amount for each in taxes if not each.inclusive)
    return PreviewTotals(
        subtotal=subtotal,
        discount=subtotal + added - total,
        total_excluding_tax=total - tax,
        tax=tax,
        taxes=list(taxes),
        total=total,
        amount_due=max(total, 0) if due is None else due,
    )


def test_a_discount_the_net_amount_the_tax_and_the_total_stand_in_their_order() -> None:
    assert total_rows(totals(VAT, subtotal=10000, total=9520, due=9020), "eur", EN) == [
        AmountRow("Subtotal", "€100.00"),
        AmountRow("Discount", "-€20.00"),
        AmountRow("Net", "€80.00"),
        AmountRow("VAT 19%", "€15.20"),
        AmountRow("Total", "€95.20"),
        AmountRow("From your credit", "-€5.00"),
    ]


def test_without_tax_discount_and_credit_the_lines_say_it_all() -> None:
    not_collected = VAT.model_copy(update={"amount": 0, "reason": "not_collecting"})
    assert total_rows(totals(subtotal=10000, total=10000), "eur", EN) == []
    assert total_rows(totals(not_collected, subtotal=10000, total=10000), "eur", EN) == []


def test_a_credit_of_the_change_itself_is_no_credit_that_is_used() -> None:
    assert total_rows(totals(subtotal=-500, total=-500), "eur", EN) == []


@pytest.mark.parametrize(
    ("percentage", "english", "german"),
    [("19", "VAT 19%", f"VAT 19{NBSP}%"), ("8.875", "VAT 8.875%", f"VAT 8,875{NBSP}%"), (None, "VAT", "VAT")],
)
def test_a_tax_is_named_with_its_rate(percentage: str | None, english: str, german: str) -> None:
    tax = VAT.model_copy(update={"percentage": percentage})
    assert (tax_name(tax, EN), tax_name(tax, DE)) == (english, german)


def test_a_tax_in_the_price_and_one_without_a_name_are_said_to_be() -> None:
    assert tax_name(VAT.model_copy(update={"inclusive": True}), EN) == "VAT 19%, included"
    assert tax_name(VAT.model_copy(update={"display_name": None}), DE) == f"Steuer 19{NBSP}%"


def test_reverse_charge_is_named_and_explained_once() -> None:
    rows = total_rows(totals(REVERSED, subtotal=10000, total=10000), "eur", EN)
    assert rows[1] == AmountRow("VAT (reverse charge)", "€0.00")
    twice = totals(REVERSED, REVERSED, VAT, subtotal=10000, total=11520)
    assert tax_notes(twice, EN) == [
        "Reverse charge: no tax is charged here. You account for it yourself, in your own country."
    ]
    assert tax_notes(totals(VAT, subtotal=8000, total=9520), EN) == []


def test_a_tax_that_is_not_known_yet_is_said_to_come() -> None:
    unknown = totals(subtotal=10000, total=10000).model_copy(update={"tax_unknown": True})
    assert tax_notes(unknown, EN) == ["Tax may be added once your address is known."]


@pytest.mark.parametrize(
    ("inclusive", "behavior", "codes", "english"),
    [
        (False, None, ["vat_de"], "plus VAT 19%"),
        (True, "inclusive", ["vat_de"], "including VAT 19%"),
        (False, "exclusive", [], "plus tax"),
        (False, "inclusive", [], "tax included"),
        (False, None, [], None),
    ],
)
def test_a_price_says_whether_tax_comes_on_top(
    inclusive: bool, behavior: TaxBehavior | None, codes: list[str], english: str | None
) -> None:
    rate = TaxRate(
        tax_rate_id="taxrate_1", version=1, code="vat_de", display_name="VAT", description=None,
        percentage="19", inclusive=inclusive, country="DE", state=None, jurisdiction=None, tax_type="vat",
        default=True, archived=False, stripe_tax_rate_id=None,
    )  # fmt: skip
    sold = price("flat", unit_amount=100, tax_behavior=behavior, tax_rates=codes)
    assert price_note(sold, [rate], EN) == english
