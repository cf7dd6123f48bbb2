"""Net amounts, taxes and totals of invoices and previews in words, reverse charge included."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from babel.numbers import format_percent

from services.gateway.pages.i18n import Translations
from tallystick.messages.catalog import Feature, Price
from tallystick.messages.subscriptions import InvoiceSnapshot, InvoiceTax, PreviewTotals
from tallystick.messages.tax_rates import TaxRate

NAMED_REASONS = ("reverse_charge", "customer_exempt")
"""Reasons for no tax that the customer is told; of other taxes of zero, nothing is said."""


@dataclass(frozen=True, slots=True)
class AmountRow:
    """A line of a table of amounts."""

    description: str
    amount: str


@dataclass(frozen=True, slots=True)
class InvoiceTaxView:
    """Net amount and taxes of an invoice, formatted."""

    net: str
    tax: str
    rates: list[str]


def total_rows(totals: PreviewTotals, currency: str, translations: Translations) -> list[AmountRow]:
    """Return what lies between the lines of a preview and what is to be paid; empty if they are the same."""
    subtotal = totals.subtotal if totals.subtotal is not None else totals.total
    net = totals.total_excluding_tax if totals.total_excluding_tax is not None else totals.total
    credit = totals.amount_due - max(totals.total, 0)
    amounts: list[tuple[str, int]] = []
    if totals.discount:
        amounts += [("subtotal", subtotal), ("discount", -totals.discount)]
    told = told_taxes(totals.taxes)
    if told:
        amounts.append(("net", net))
    rows = _rows(amounts, currency, translations)
    rows += [AmountRow(tax_name(tax, translations), translations.money(tax.amount, currency)) for tax in told]
    if rows or credit:
        rows += _rows([("total", totals.total)], currency, translations)
    return rows + (_rows([("credit", credit)], currency, translations) if credit else [])


def invoice_tax_view(invoice: InvoiceSnapshot, translations: Translations) -> InvoiceTaxView | None:
    """Return the net amount and taxes of an invoice; None if it says nothing of tax."""
    told = told_taxes(invoice.taxes)
    if not told and not invoice.tax:
        return None
    net = invoice.total_excluding_tax if invoice.total_excluding_tax is not None else invoice.total
    return InvoiceTaxView(
        net=translations.money(net, invoice.currency),
        tax=translations.money(invoice.tax, invoice.currency),
        rates=[tax_name(tax, translations) for tax in told],
    )


def told_taxes(taxes: Sequence[InvoiceTax]) -> list[InvoiceTax]:
    """Return the taxes of which the customer is told: amounts, and why nothing is due."""
    return [tax for tax in taxes if tax.amount or tax.reason in NAMED_REASONS]


def tax_name(tax: InvoiceTax, translations: Translations) -> str:
    """Return the name of a tax with its rate, such as `VAT 19%`, or why there is none."""
    name = tax.display_name or translations.translate("tax.unnamed")
    if tax.reason in NAMED_REASONS and not tax.amount:
        return translations.translate(f"tax.{tax.reason}", name=name)
    rate = _percentage(tax.percentage, translations)
    named = f"{name} {rate}" if rate else name
    return translations.translate("tax.included", name=named) if tax.inclusive else named


def price_note(priced: Price | Feature, rates: Sequence[TaxRate], translations: Translations) -> str | None:
    """Return what a price in a list says of tax, such as `plus VAT 19%`; None if nothing is known."""
    own = [rate for rate in rates if rate.code in priced.tax_rates]
    if own:
        names = ", ".join(
            " ".join(filter(None, (rate.display_name, _percentage(rate.percentage, translations))))
            for rate in own
        )
        return translations.translate(
            "tax.price_included" if own[0].inclusive else "tax.price_added", taxes=names
        )
    if priced.tax_behavior is None:
        return None
    return translations.translate(f"tax.price_{priced.tax_behavior}")


def tax_notes(totals: PreviewTotals, translations: Translations) -> list[str]:
    """Return what the customer has to know about taxes that are not due, or not known yet."""
    taxes = totals.taxes
    if totals.tax_unknown:
        return [translations.translate("tax.unknown_note")]
    reasons = dict.fromkeys(tax.reason for tax in taxes if tax.reason == "reverse_charge" and not tax.amount)
    return [translations.translate(f"tax.{reason}_note") for reason in reasons]


def _rows(amounts: Sequence[tuple[str, int]], currency: str, translations: Translations) -> list[AmountRow]:
    return [
        AmountRow(translations.translate(f"tax.{word}"), translations.money(amount, currency))
        for word, amount in amounts
    ]


def _percentage(percentage: str | None, translations: Translations) -> str | None:
    try:
        share = Decimal(percentage or "").scaleb(-2)
    except InvalidOperation:
        return None
    return format_percent(share, locale=translations.locale, decimal_quantization=False)
