"""Every question but the catalog's."""

from collections.abc import Sequence

from services.subscriptions import queries
from services.subscriptions.service import service
from shared.persistence.unit_of_work import Rejected, Work
from tallystick.messages import subscriptions as m


@service.question(m.GetCustomer)
async def get_customer(work: Work, question: m.GetCustomer) -> m.CustomerFound:
    """A customer as they stand."""
    return await queries.get_customer(work, question)


@service.question(m.ListCustomers)
async def list_customers(work: Work, question: m.ListCustomers) -> m.CustomerPage:
    """Newest first."""
    return await queries.list_customers(work, question)


@service.question(m.GetSubscription, together=True)
async def get_subscription(
    work: Work, questions: Sequence[m.GetSubscription]
) -> list[m.SubscriptionFound | Rejected]:
    """A subscription as it stands."""
    return await queries.get_subscriptions(work, questions)


@service.question(m.ListSubscriptions)
async def list_subscriptions(work: Work, question: m.ListSubscriptions) -> m.SubscriptionPage:
    """Newest first."""
    return await queries.list_subscriptions(work, question)


@service.question(m.ListInvoices)
async def list_invoices(work: Work, question: m.ListInvoices) -> m.InvoicePage:
    """Newest first."""
    return await queries.list_invoices(work, question)


@service.question(m.CheckEntitlement, together=True)
async def check_entitlement(work: Work, questions: Sequence[m.CheckEntitlement]) -> list[m.Allowance]:
    """The same that the bucket says, by request."""
    return await queries.check_entitlements(work, questions)


@service.question(m.ListEntitlements)
async def list_entitlements(work: Work, question: m.ListEntitlements) -> m.EntitlementPage:
    """By feature."""
    return await queries.list_entitlements(work, question)
