"""All SQL of this service, apart from the catalog's, the overrides' and the add-ons'.

Every change of a customer's data locks the customer's row first, so that changes of one customer are
serialized and cannot deadlock.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession

from services.subscriptions.domain.subscription_state import State
from services.subscriptions.snapshots import STATE_COLUMNS, state_from_columns, upcoming_from
from services.subscriptions.tables.add_ons import AddOnRow
from services.subscriptions.tables.payment_links import FurtherStripeCustomerRow
from services.subscriptions.tables.subscriptions import (
    CheckoutRow,
    CustomerRow,
    EntitlementRow,
    InvoiceRow,
    ParkedEventRow,
    SubscriptionRow,
)
from shared.persistence.sql_pipeline import BoundStatement, Statement
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.subscriptions import FINAL_STATUSES, Allowance, CustomerSnapshot

ADD_CUSTOMER = Statement("""
    INSERT INTO subscriptions.customers (customer, customer_id, version, email, name, metadata, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT DO NOTHING
""")


LOCK_CUSTOMERS = "SELECT FROM subscriptions.customers WHERE customer = ANY(%b) ORDER BY customer FOR UPDATE"
SELECT_STATES = f"""
    SELECT customer, subscription_id, {", ".join(STATE_COLUMNS)} FROM subscriptions.subscriptions
"""  # noqa: S608 - our own names
FIND_LIVE = SELECT_STATES + " WHERE customer = ANY(%s) AND status <> ALL(%s) ORDER BY subscription_id"
FIND_STATES = SELECT_STATES + " WHERE subscription_id = ANY(%s)"
FIND_OPEN_CHECKOUT = """
    SELECT checkout_id FROM subscriptions.checkouts WHERE customer = %s AND status = 'open' LIMIT 1
"""
FIND_ALLOWANCES = """
    SELECT customer, feature, allowed, quantity, sources, expires_at, upcoming
    FROM subscriptions.entitlements JOIN unnest(%s::text[], %s::text[]) AS wanted (customer, feature)
    USING (customer, feature)
"""


async def lock_customer(session: AsyncSession, token: str) -> CustomerRow | None:
    """Load and lock a customer's row until the end of the transaction."""
    found: CustomerRow | None = await session.scalar(
        _customer_for_update().where(CustomerRow.customer == token)
    )
    return found


def insert_customer(customer: CustomerSnapshot) -> BoundStatement:
    """Build the statement that inserts a new customer and does nothing if they exist.

    Most registrations are of new customers, and a caller waits for them, so this statement bypasses the
    session.
    """
    return ADD_CUSTOMER(
        customer.token,
        customer.customer_id,
        customer.version,
        customer.email,
        customer.name,
        orjson.dumps(customer.metadata).decode(),
        customer.created_at,
    )


async def lock_customer_by_stripe_id(session: AsyncSession, stripe_customer_id: str) -> CustomerRow | None:
    """Load and lock the customer linked to a Stripe customer.

    None only if no other transaction is linking it at the moment: others wait for this one to end.
    """
    query = _customer_for_update().where(CustomerRow.stripe_customer_id == stripe_customer_id)
    found: CustomerRow | None = await session.scalar(query)
    if found is None:
        await reserve_stripe_customer(session, stripe_customer_id)
        found = await session.scalar(query)
    if found is None:
        token = await customer_token_by_stripe_id(session, stripe_customer_id)
        found = await lock_customer(session, token) if token is not None else None
    return found


async def reserve_stripe_customer(session: AsyncSession, stripe_customer_id: str) -> None:
    """Prevent other transactions from linking this Stripe customer or parking its events."""
    key = sa.func.hashtextextended(f"stripe customer {stripe_customer_id}", 0)
    await session.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))


async def find_customer(session: AsyncSession, token: str) -> CustomerRow | None:
    """Load a customer's row without locking it."""
    return await session.get(CustomerRow, token)


async def customer_token_by_stripe_id(session: AsyncSession, stripe_customer_id: str) -> str | None:
    """Load the token of the customer linked to a Stripe customer, or with it as a further one."""
    query = sa.select(CustomerRow.customer).where(CustomerRow.stripe_customer_id == stripe_customer_id)
    further = sa.select(FurtherStripeCustomerRow.customer).where(
        FurtherStripeCustomerRow.stripe_customer_id == stripe_customer_id
    )
    return await session.scalar(query) or await session.scalar(further)


async def find_subscription(session: AsyncSession, subscription_id: str) -> SubscriptionRow | None:
    """Load a subscription's row, refreshed; the lock is on its customer's row."""
    query = sa.select(SubscriptionRow).where(SubscriptionRow.subscription_id == subscription_id)
    return await session.scalar(query.execution_options(populate_existing=True))


async def subscription_by_stripe_id(
    session: AsyncSession, stripe_subscription_id: str
) -> SubscriptionRow | None:
    """Load the row of a Stripe subscription, refreshed."""
    query = sa.select(SubscriptionRow).where(SubscriptionRow.stripe_subscription_id == stripe_subscription_id)
    return await session.scalar(query.execution_options(populate_existing=True))


async def live_subscriptions(session: AsyncSession, token: str) -> Sequence[SubscriptionRow]:
    """Load a customer's subscriptions that have not ended, oldest first."""
    query = (
        sa.select(SubscriptionRow)
        .where(SubscriptionRow.customer == token, SubscriptionRow.status.not_in(FINAL_STATUSES))
        .order_by(SubscriptionRow.subscription_id)
    )
    return (await session.scalars(query)).all()


async def live_states(work: UnitOfWork, tokens: Sequence[str]) -> list[tuple[str, str, State]]:
    """Load the customer token, id and state of these customers' subscriptions that have not ended.

    It is used by every change, so it bypasses the session, which is flushed first.
    """
    await work.flush()
    cursor = await work.driver.execute(FIND_LIVE, (tokens, list(FINAL_STATUSES)))
    return [
        (customer, subscription_id, state_from_columns(values))
        for customer, subscription_id, *values in await cursor.fetchall()
    ]


async def load_states(work: UnitOfWork, subscription_ids: Sequence[str]) -> dict[str, State]:
    """Load the states of subscriptions, by id."""
    await work.flush()
    cursor = await work.driver.execute(FIND_STATES, (subscription_ids,))
    rows = await cursor.fetchall()
    return {subscription_id: state_from_columns(values) for _, subscription_id, *values in rows}


async def newest_subscriptions(session: AsyncSession, tokens: Collection[str]) -> dict[str, SubscriptionRow]:
    """Load each customer's newest subscription that has not ended, else their newest one.

    Subscriptions to a plan come before those to an add-on.
    """
    for_add_on = sa.exists().where(AddOnRow.subscription_id == SubscriptionRow.subscription_id)
    query = (
        sa.select(SubscriptionRow)
        .ext(distinct_on(SubscriptionRow.customer))
        .where(SubscriptionRow.customer == sa.any_(_text_array(tokens)))
        .order_by(
            SubscriptionRow.customer,
            SubscriptionRow.status.in_(FINAL_STATUSES),
            for_add_on,
            SubscriptionRow.subscription_id.desc(),
        )
    )
    return {row.customer: row for row in await session.scalars(query)}


async def find_subscriptions(session: AsyncSession, ids: Collection[str]) -> dict[str, SubscriptionRow]:
    """Load subscriptions by their ids."""
    query = sa.select(SubscriptionRow).where(SubscriptionRow.subscription_id == sa.any_(_text_array(ids)))
    return {row.subscription_id: row for row in await session.scalars(query)}


def _text_array(values: Collection[str]) -> sa.BindParameter[list[str]]:
    # One array of any length, so that the statement stays the same and prepared.
    return sa.literal(list(values), sa.ARRAY(sa.Text))


async def products_ever_subscribed(session: AsyncSession, token: str) -> set[str]:
    """Load the products that a customer has ever subscribed to."""
    items = await session.scalars(sa.select(SubscriptionRow.items).where(SubscriptionRow.customer == token))
    return {item["product"] for bought in items for item in bought if item["product"]}


async def list_customers(
    session: AsyncSession, *, search: str | None, before: str | None, limit: int
) -> Sequence[CustomerRow]:
    """Load customers, newest first, with ids below `before`; a search scans them all, for operators only."""
    query = sa.select(CustomerRow).order_by(CustomerRow.customer_id.desc()).limit(limit)
    if search is not None:
        searched = (CustomerRow.customer, CustomerRow.email, CustomerRow.name, CustomerRow.stripe_customer_id)
        query = query.where(sa.or_(*(column.icontains(search, autoescape=True) for column in searched)))
    if before is not None:
        query = query.where(CustomerRow.customer_id < before)
    return (await session.scalars(query)).all()


async def list_subscriptions(
    session: AsyncSession, *, token: str | None, status: str | None, before: str | None, limit: int
) -> Sequence[SubscriptionRow]:
    """Load subscriptions, newest first, with ids below `before`."""
    query = sa.select(SubscriptionRow).order_by(SubscriptionRow.subscription_id.desc()).limit(limit)
    if token is not None:
        query = query.where(SubscriptionRow.customer == token)
    if status is not None:
        query = query.where(SubscriptionRow.status == status)
    if before is not None:
        query = query.where(SubscriptionRow.subscription_id < before)
    return (await session.scalars(query)).all()


async def lock_customers(work: UnitOfWork, tokens: Iterable[str]) -> None:
    """Lock several customers' rows, always in the same order."""
    await work.driver.execute(LOCK_CUSTOMERS, (list(tokens),))


async def load_customers(session: AsyncSession, tokens: Iterable[str]) -> Sequence[CustomerRow]:
    """Load several customers' rows, ordered by token; the caller has locked them."""
    query = sa.select(CustomerRow).where(CustomerRow.customer.in_(list(tokens)))
    return (await session.scalars(query.order_by(CustomerRow.customer))).all()


async def open_checkouts(work: UnitOfWork, token: str) -> Sequence[CheckoutRow]:
    """Load a customer's open checkouts; a cheap query first checks that there is one."""
    await work.flush()
    if await (await work.driver.execute(FIND_OPEN_CHECKOUT, (token,))).fetchone() is None:
        return []
    query = sa.select(CheckoutRow).where(CheckoutRow.customer == token, CheckoutRow.status == "open")
    return (await work.session.scalars(query.order_by(CheckoutRow.checkout_id))).all()


async def find_checkout(
    session: AsyncSession, *, checkout_id: str | None = None, stripe_checkout_id: str | None = None
) -> CheckoutRow | None:
    """Load a checkout by its id or by Stripe's."""
    if checkout_id is not None:
        return await session.get(CheckoutRow, checkout_id)
    query = sa.select(CheckoutRow).where(CheckoutRow.stripe_checkout_id == stripe_checkout_id)
    return await session.scalar(query)


async def invoice_by_stripe_id(session: AsyncSession, stripe_invoice_id: str) -> InvoiceRow | None:
    """Load the row of a Stripe invoice, refreshed."""
    query = sa.select(InvoiceRow).where(InvoiceRow.stripe_invoice_id == stripe_invoice_id)
    return await session.scalar(query.execution_options(populate_existing=True))


async def invoice_failures(session: AsyncSession, subscription_id: str) -> list[tuple[datetime, bool]]:
    """Load when each failed invoice of a subscription first failed, and whether it is still owed."""
    query = sa.select(InvoiceRow.failed_at, InvoiceRow.status.not_in(("paid", "void"))).where(
        InvoiceRow.subscription_id == subscription_id, InvoiceRow.failed_at.is_not(None)
    )
    return [(at, is_owed) for at, is_owed in await session.execute(query) if at is not None]


async def list_invoices(
    session: AsyncSession, token: str, *, before: tuple[datetime, str] | None, limit: int
) -> Sequence[InvoiceRow]:
    """Load a customer's invoices, newest first, below a creation time and id."""
    key = (InvoiceRow.created_at, InvoiceRow.invoice_id)
    query = sa.select(InvoiceRow).where(InvoiceRow.customer == token)
    query = query.order_by(*(column.desc() for column in key)).limit(limit)
    if before is not None:
        query = query.where(sa.tuple_(*key) < sa.tuple_(*before))
    return (await session.scalars(query)).all()


async def find_entitlement(session: AsyncSession, token: str, feature: str) -> EntitlementRow | None:
    """Load a customer's entitlement to a feature."""
    return await session.get(EntitlementRow, (token, feature))


async def find_allowances(
    work: UnitOfWork, keys: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], Allowance]:
    """Load allowances by customer token and feature; bypasses the session, because it is read the most."""
    customers, features = (list(column) for column in zip(*set(keys), strict=True))
    cursor = await work.driver.execute(FIND_ALLOWANCES, (customers, features))
    return {
        (customer, feature): Allowance(
            allowed=allowed,
            quantity=quantity,
            sources=sources,
            expires_at=expires_at,
            upcoming=upcoming_from(upcoming) if upcoming else [],
        )
        for customer, feature, allowed, quantity, sources, expires_at, upcoming in await cursor.fetchall()
    }


async def list_entitlements(
    session: AsyncSession, token: str, *, after: str | None, limit: int
) -> Sequence[EntitlementRow]:
    """Load a customer's granted entitlements, ordered by feature, above `after`."""
    query = sa.select(EntitlementRow).where(EntitlementRow.customer == token, EntitlementRow.granted)
    if after is not None:
        query = query.where(EntitlementRow.feature > after)
    return (await session.scalars(query.order_by(EntitlementRow.feature).limit(limit))).all()


async def parked_events(session: AsyncSession, stripe_customer_id: str) -> Sequence[str]:
    """Load the ids of the events parked for a Stripe customer, in the order in which they were parked."""
    query = (
        sa.select(ParkedEventRow.event_id)
        .where(ParkedEventRow.stripe_customer_id == stripe_customer_id)
        .order_by(ParkedEventRow.parked_at, ParkedEventRow.event_id)
    )
    return (await session.scalars(query)).all()


async def forget_parked_events(session: AsyncSession, stripe_customer_id: str) -> None:
    """Delete the records of a Stripe customer's parked events."""
    await session.execute(
        sa.delete(ParkedEventRow).where(ParkedEventRow.stripe_customer_id == stripe_customer_id)
    )


def _customer_for_update() -> sa.Select[CustomerRow]:
    return sa.select(CustomerRow).with_for_update().execution_options(populate_existing=True)
