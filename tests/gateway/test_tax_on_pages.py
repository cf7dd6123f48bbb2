"""Net amounts, taxes and reverse charge in the tables that customers read."""

import json

import pytest

from services.gateway.pages.i18n import load_translations
from services.gateway.pages.tax_text import invoice_tax_view
from services.gateway.pages.templating import Templates
from services.gateway.pages.view_models import preview_view
from tallystick.messages.subscriptions import ChangePreview, InvoicePage, InvoiceSnapshot
from tests.support import golden


def invoice(number: str, *, tax: int = 950, reason: str = "standard_rated") -> InvoiceSnapshot:
    """An invoice of 50.00 net."""
    body = golden.read("feed.invoiceV1")["body"]["invoice"]
    [by_rate] = body["taxes"]
    taxes = [{**by_rate, "amount": tax, "reason": reason}] if reason else []
    name = {"invoice_id": f"inv_{number}".lower().replace("-", ""), "number": number}
    amounts = {"tax": tax, "taxes": taxes, "total": 5000 + tax, "total_excluding_tax": 5000}
    return InvoiceSnapshot.model_validate_json(json.dumps({**body, **amounts, **name}))


def table(*invoices: InvoiceSnapshot, language: str = "en") -> str:
    """Render the card of invoices as text."""
    translations = load_translations(language)
    views = {each.invoice_id: invoice_tax_view(each, translations) for each in invoices}
    template = Templates.of("Shop").environment.get_template("billing/invoices.html")
    page = template.render(
        t=translations.translate,
        translations=translations,
        unavailable=[],
        invoices=InvoicePage(items=list(invoices)),
        invoice_taxes={name: view for name, view in views.items() if view is not None},
    )
    return " ".join(page.split())


@pytest.mark.parametrize(
    ("language", "net", "tax"),
    [
        ("en", "€50.00", '€9.50 <span class="hint">VAT 19%'),
        ("de", "50,00\xa0€", '9,50\xa0€ <span class="hint">VAT 19\xa0%'),
    ],
)
def test_an_invoice_shows_net_tax_and_total(language: str, net: str, tax: str) -> None:
    shown = table(invoice("A-1"), language=language).replace("\xa0", " ")
    assert net.replace("\xa0", " ") in shown
    assert tax.replace("\xa0", " ") in shown


def test_reverse_charge_is_named_on_the_invoice() -> None:
    assert "VAT (reverse charge)" in table(invoice("A-1", tax=0, reason="reverse_charge"))


def test_an_invoice_without_tax_beside_one_with_tax_says_so() -> None:
    shown = table(invoice("A-1"), invoice("A-2", tax=0, reason=""))
    assert shown.count('data-label="Tax"') == 2
    assert ">–</td>" in shown


def test_without_any_tax_there_are_no_columns_for_it() -> None:
    assert "Tax" not in table(invoice("A-1", tax=0, reason=""))


def test_a_preview_shows_the_tax_between_the_lines_and_the_sum() -> None:
    example = golden.read("subscriptions.preview_change")["result"]
    view = preview_view(ChangePreview.model_validate_json(json.dumps(example)), load_translations("en"))
    assert [(row.description, row.amount) for row in view.totals] == [
        ("Net", "€79.83"),
        ("VAT 19%, included", "€15.17"),
        ("Total", "€95.00"),
    ]
