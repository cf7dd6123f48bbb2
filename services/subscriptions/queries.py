"""The questions about customers, subscriptions, invoices and entitlements."""

from collections.abc import Sequence
from datetime import datetime

from services.subscriptions.domain.entitlements import NO_ALLOWANCE, allowance_at
from services.subscriptions.lifecycle.stripe_mutation import not_found
from services.subscriptions.repository import subscriptions
from services.subscriptions.service import service
from services.subscriptions.snapshots import (
    allowance_from_row,
    customer_snapshot,
    entitlement_snapshot,
    invoice_snapshot,
    subscription_snapshot,
)
from services.subscriptions.tables.subscriptions import EntitlementRow
from shared.errors import Rejected
from shared.persistence.cursors import decode_cursor, encode_cursor
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m


@service.question(m.GetCustomer)
async def get_customer(work: UnitOfWork, question: m.GetCustomer) -> m.CustomerFound:
    """Return a customer; raises Rejected `not_found`."""
    row = await subscriptions.find_customer(work.session, question.customer.token)
    if row is None:
        raise _unknown_customer(question.customer.token)
    return m.CustomerFound(customer=customer_snapshot(row))


@service.question(m.ListCustomers)
async def list_customers(work: UnitOfWork, question: m.ListCustomers) -> m.CustomerPage:
    """Return a page of customers, all of them or those that match a search."""
    before = decode_cursor(question.cursor, 1)[0] if question.cursor is not None else None
    rows = await subscriptions.list_customers(
        work.session, search=question.search, before=before, limit=question.limit + 1
    )
    shown = rows[: question.limit]
    return m.CustomerPage(
        items=[customer_snapshot(row) for row in shown],
        next_cursor=encode_cursor(shown[-1].customer_id) if len(rows) > question.limit else None,
    )


@service.question(m.GetSubscription, together=True)
async def get_subscription(
    work: UnitOfWork, questions: Sequence[m.GetSubscription]
) -> list[m.SubscriptionFound | Rejected]:
    """Return for each question the subscription, or a rejection if there is none."""
    tokens = {question.customer.token for question in questions if question.customer is not None}
    ids = {question.subscription_id for question in questions if question.subscription_id is not None}
    newest = await subscriptions.newest_subscriptions(work.session, tokens) if tokens else {}
    named = await subscriptions.find_subscriptions(work.session, ids) if ids else {}
    answers: list[m.SubscriptionFound | Rejected] = []
    for question in questions:
        if question.customer is not None:
            row = newest.get(question.customer.token)
            missing = _unknown_customer(question.customer.token, "has no subscription")
        else:
            row = named.get(str(question.subscription_id))
            missing = not_found(str(question.subscription_id))
        answers.append(m.SubscriptionFound(subscription=subscription_snapshot(row)) if row else missing)
    return answers


@service.question(m.ListSubscriptions)
async def list_subscriptions(work: UnitOfWork, question: m.ListSubscriptions) -> m.SubscriptionPage:
    """Return a page of subscriptions; one row more is loaded to know whether there is a next page."""
    before = decode_cursor(question.cursor, 1)[0] if question.cursor is not None else None
    rows = await subscriptions.list_subscriptions(
        work.session,
        token=question.customer.token if question.customer else None,
        status=question.status,
        before=before,
        limit=question.limit + 1,
    )
    shown = rows[: question.limit]
    return m.SubscriptionPage(
        items=[subscription_snapshot(row) for row in shown],
        next_cursor=encode_cursor(shown[-1].subscription_id) if len(rows) > question.limit else None,
    )


@service.question(m.ListInvoices)
async def list_invoices(work: UnitOfWork, question: m.ListInvoices) -> m.InvoicePage:
    """Return a page of a customer's invoices."""
    before = _invoice_key(question.cursor) if question.cursor is not None else None
    rows = await subscriptions.list_invoices(
        work.session, question.customer.token, before=before, limit=question.limit + 1
    )
    shown = rows[: question.limit]
    more = len(rows) > question.limit
    return m.InvoicePage(
        items=[invoice_snapshot(row) for row in shown],
        next_cursor=encode_cursor(shown[-1].created_at.isoformat(), shown[-1].invoice_id) if more else None,
    )


@service.question(m.CheckEntitlement, together=True)
async def check_entitlement(work: UnitOfWork, questions: Sequence[m.CheckEntitlement]) -> list[m.Allowance]:
    """Return for each question a customer's allowance of a feature, by the clock.

    What ends at a moment has ended then, even before the job that emits the end.
    """
    wanted = [(question.customer.token, question.feature) for question in questions]
    found = await subscriptions.find_allowances(work, wanted)
    return [_at(found.get(key, NO_ALLOWANCE), work.now) for key in wanted]


def _at(allowance: m.Allowance, now: datetime) -> m.Allowance:
    # Most never change by the clock alone.
    if allowance.expires_at is None and not allowance.upcoming:
        return allowance
    return allowance_at(allowance, now)


@service.question(m.ListEntitlements)
async def list_entitlements(work: UnitOfWork, question: m.ListEntitlements) -> m.EntitlementPage:
    """Return a page of a customer's entitlements, by the clock."""
    after = decode_cursor(question.cursor, 1)[0] if question.cursor is not None else None
    rows = await subscriptions.list_entitlements(
        work.session, question.customer.token, after=after, limit=question.limit + 1
    )
    shown = rows[: question.limit]
    return m.EntitlementPage(
        items=[_snapshot_at(row, work.now) for row in shown],
        next_cursor=encode_cursor(shown[-1].feature) if len(rows) > question.limit else None,
    )


def _snapshot_at(row: EntitlementRow, now: datetime) -> m.EntitlementSnapshot:
    snapshot = entitlement_snapshot(row)
    return snapshot.model_copy(update=dict(allowance_at(allowance_from_row(row), now)))


def _invoice_key(cursor: str) -> tuple[datetime, str]:
    created_at, invoice_id = decode_cursor(cursor, 2)
    try:
        return datetime.fromisoformat(created_at), invoice_id
    except ValueError:
        raise Rejected("invalid_message", "The cursor is not one of ours.", {"field": "cursor"}) from None


def _unknown_customer(token: str, problem: str = "is not registered") -> Rejected:
    return Rejected("not_found", f"{token} {problem}.", {"customer": token})
