"""Reading Stripe's invoices, and the events between two states of an invoice."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, get_args

from services.subscriptions.domain.catalog_lookup import CatalogLookup
from services.subscriptions.domain.invoice_taxes import (
    TaxRates,
    discount_total,
    included,
    rates_of_catalog,
    read_taxes,
)
from services.subscriptions.domain.stripe_objects import Malformed, moment, reference_id
from tallystick.messages.catalog import Price, Product
from tallystick.messages.subscriptions import InvoiceLine, InvoiceStatus, InvoiceTax, PreviewTotals, Span

LOCATION_MISSING = "requires_location_inputs"
"""Status of Stripe Tax on an invoice of a customer without a country."""
REFERENCE_KEY = "tallystick_reference"
"""Metadata key of a Stripe invoice: the caller's own reference of a one-off charge."""
LINES_MAX = 250
"""Lines kept of one invoice; the hosted invoice shows the rest."""
_PROGRESS: dict[InvoiceStatus, int] = {"draft": 0, "open": 1, "uncollectible": 2, "void": 3, "paid": 3}
"""Order of the statuses; an invoice's status only moves up."""
_SETTLED: frozenset[InvoiceStatus] = frozenset({"paid", "void"})
_STATUSES: dict[str, InvoiceStatus] = {status: status for status in get_args(InvoiceStatus)}


@dataclass(frozen=True, slots=True)
class Invoice:
    """The part of an invoice that can change; amounts in the minor unit of `currency`."""

    stripe_invoice_id: str
    stripe_customer_id: str
    stripe_subscription_id: str | None
    number: str | None
    status: InvoiceStatus
    subtotal: int
    discount: int
    total_excluding_tax: int
    taxes: tuple[InvoiceTax, ...]
    total: int
    amount_due: int
    amount_paid: int
    amount_credited: int
    currency: str
    lines: tuple[InvoiceLine, ...]
    reference: str | None
    attempt_count: int
    hosted_invoice_url: str | None
    invoice_pdf: str | None
    created_at: datetime
    tax_unknown: bool = field(default=False, compare=False)
    """Whether Stripe Tax cannot tell from the customer's address what is taxed; of drafts and previews."""

    @property
    def tax(self) -> int:
        """All taxes, included in prices or added to them."""
        return self.total - self.total_excluding_tax

    @property
    def progress(self) -> tuple[int, int, int]:
        """A key that only grows, so that two states with the same time stamp can be ordered."""
        return _PROGRESS[self.status], self.attempt_count, self.amount_paid


@dataclass(frozen=True, slots=True)
class InvoiceChange:
    """An event to emit, and the invoice as of that event."""

    event: str
    invoice: Invoice


def read_invoice(
    body: Mapping[str, Any], catalog: CatalogLookup, rates: TaxRates = MappingProxyType({})
) -> Invoice:
    """Read an invoice from Stripe's JSON; raises Malformed.

    `rates` are the tax rates of the invoice, as far as they are not in the catalog.
    """
    status = _STATUSES.get(str(body.get("status")))
    created_at = moment(body.get("created"))
    invoice_id, customer_id = body.get("id"), reference_id(body.get("customer"))
    if status is None or created_at is None or customer_id is None:
        raise Malformed("an invoice needs a status, a customer and the time it was created")
    if not isinstance(invoice_id, str):
        raise Malformed("the invoice has no id")
    rates = {**rates, **rates_of_catalog(body, catalog)}
    lines, total = _lines(body, catalog, rates), _amount(body, "total")
    return Invoice(
        stripe_invoice_id=invoice_id,
        stripe_customer_id=customer_id,
        stripe_subscription_id=_subscription(body),
        number=body.get("number"),
        status=status,
        subtotal=_amount_or(body, "subtotal", sum(line.amount for line in lines)),
        discount=discount_total(body.get("total_discount_amounts")),
        total_excluding_tax=_amount_or(body, "total_excluding_tax", total),
        taxes=read_taxes(body.get("total_taxes"), rates),
        total=total,
        amount_due=_amount(body, "amount_due"),
        amount_paid=_amount(body, "amount_paid"),
        amount_credited=_credited(body),
        currency=str(body.get("currency")),
        lines=lines,
        reference=(body.get("metadata") or {}).get(REFERENCE_KEY),
        attempt_count=_amount(body, "attempt_count"),
        hosted_invoice_url=body.get("hosted_invoice_url"),
        invoice_pdf=body.get("invoice_pdf"),
        created_at=created_at,
        tax_unknown=(body.get("automatic_tax") or {}).get("status") == LOCATION_MISSING,
    )


def invoice_totals(invoice: Invoice) -> PreviewTotals:
    """Return the net amount, the tax and the total of an invoice."""
    return PreviewTotals(
        subtotal=invoice.subtotal,
        discount=invoice.discount,
        total_excluding_tax=invoice.total_excluding_tax,
        tax=invoice.tax,
        taxes=list(invoice.taxes),
        total=invoice.total,
        amount_due=invoice.amount_due,
        tax_unknown=invoice.tax_unknown,
    )


def invoice_changes(
    before: Invoice | None, after: Invoice, *, emitted_failures: int, failed: int
) -> list[InvoiceChange]:
    """Return the events that lead from one state of an invoice to another, failed attempts included.

    `emitted_failures` is the number of the last attempt for which `paymentFailed` was emitted, `failed` the
    number of the last attempt that is known to have failed. An attempt that was followed by another has
    failed too, even if its own event never arrived.
    """
    changes: list[InvoiceChange] = []
    if before is None:
        status: InvoiceStatus = "draft" if after.status == "draft" else "open"
        before = replace(after, status=status, amount_paid=0, attempt_count=0)
        changes.append(InvoiceChange("created", before))
    for attempt in range(emitted_failures + 1, max(failed, after.attempt_count - 1) + 1):
        before = _failed_attempt(before, after, attempt)
        changes.append(InvoiceChange("paymentFailed", before))
    return [*changes, *_remaining_changes(before, after)]


def overdue_since(body: Mapping[str, Any]) -> datetime | None:
    """Return since when an unpaid invoice in Stripe's JSON is overdue, without its failure events.

    A sent invoice is overdue since its due date; an invoice that is charged automatically since it was
    finalized, which is when Stripe first tries. None for an invoice that is not due yet or is no longer owed.
    """
    if body.get("status") not in ("open", "uncollectible"):
        return None
    if body.get("collection_method") == "send_invoice":
        return moment(body.get("due_date"))
    return moment((body.get("status_transitions") or {}).get("finalized_at"))


def _failed_attempt(before: Invoice, after: Invoice, attempt: int) -> Invoice:
    """Return the invoice as of a failed attempt; unchanged if it was settled before that is known."""
    if before.status in _SETTLED:
        return before
    status: InvoiceStatus = "open" if after.status in _SETTLED else after.status
    return replace(after, status=status, amount_paid=before.amount_paid, attempt_count=attempt)


def _remaining_changes(before: Invoice, after: Invoice) -> list[InvoiceChange]:
    if before == after:
        return []
    if after.status == "paid" and before.status != "paid":
        return [InvoiceChange("paid", after)]
    if after.status == "void" and before.status != "void":
        return [InvoiceChange("voided", after)]
    return [InvoiceChange("updated", after)]


def _subscription(body: Mapping[str, Any]) -> str | None:
    # Under `parent` in current API versions, on the invoice itself in older versions.
    parent = body.get("parent") or {}
    details = parent.get("subscription_details") or {}
    return reference_id(details.get("subscription")) or reference_id(body.get("subscription"))


def _lines(body: Mapping[str, Any], catalog: CatalogLookup, rates: TaxRates) -> tuple[InvoiceLine, ...]:
    listed = (body.get("lines") or {}).get("data") or []
    return tuple(_line(line, catalog, rates) for line in listed[:LINES_MAX])


def _line(line: Mapping[str, Any], catalog: CatalogLookup, rates: TaxRates) -> InvoiceLine:
    period = line.get("period") or {}
    start, end = moment(period.get("start")), moment(period.get("end"))
    if start is None or end is None:
        raise Malformed("a line of the invoice has no period")
    parent = line.get("parent") or {}
    details = parent.get("subscription_item_details") or parent.get("invoice_item_details") or {}
    amount, taxes = _amount(line, "amount"), read_taxes(line.get("taxes"), rates)
    proration = bool(details.get("proration", line.get("proration", False)))
    price, product = _sold(line, catalog)
    return InvoiceLine(
        description=line.get("description"),
        amount=amount,
        quantity=line.get("quantity"),
        period=Span(start=start, end=end),
        proration=proration,
        price=price.code if price is not None else None,
        product=product.code if product is not None else None,
        net=amount - discount_total(line.get("discount_amounts")) - included(taxes),
        tax=sum(tax.amount for tax in taxes),
        taxes=list(taxes),
        credit="unused" if proration and amount < 0 else None,
    )


def _sold(line: Mapping[str, Any], catalog: CatalogLookup) -> tuple[Price | None, Product | None]:
    """Return the line's price and product, as far as the catalog has them: not every price of Stripe's."""
    pricing = (line.get("pricing") or {}).get("price_details") or {}
    stripe_price_id = reference_id(pricing.get("price")) or reference_id(line.get("price"))
    price = catalog.price_by_stripe_id(stripe_price_id) if stripe_price_id is not None else None
    if price is not None:
        return price, catalog.product_of(price)
    older = line.get("price")
    stripe_product_id = reference_id(pricing.get("product")) or (
        reference_id(older.get("product")) if isinstance(older, Mapping) else None
    )
    return None, catalog.product_by_stripe_id(stripe_product_id) if stripe_product_id is not None else None


def _amount_or(body: Mapping[str, Any], field: str, default: int) -> int:
    # Older API versions do not have every amount.
    return default if body.get(field) is None else _amount(body, field)


def _credited(body: Mapping[str, Any]) -> int:
    """Return the sum of the credit notes, which older API versions do not state."""
    notes = (body.get(f"{when}_payment_credit_notes_amount") for when in ("pre", "post"))
    return sum(amount for amount in notes if isinstance(amount, int))


def _amount(body: Mapping[str, Any], field: str) -> int:
    value = body.get(field)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Malformed(f"{field} of the invoice is not a whole number")
    return value
