"""All SQL of this service, apart from the catalog's.

Whoever changes anything of a customer's locks the customer's row first, so that all changes of one customer
are in a row and no two of them can wait for each other.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession

from services.subscriptions.domain.subscription_state import FINAL, State
from services.subscriptions.snapshots import STATE_COLUMNS, state_of_columns
from services.subscriptions.tables.add_ons import AddOnRow
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
from tallystick.messages.subscriptions import Allowance, CustomerSnapshot

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
    SELECT customer, feature, allowed, quantity, sources, expires_at
    FROM subscriptions.entitlements JOIN unnest(%s::text[], %s::text[]) AS wanted (customer, feature)
    USING (customer, feature)
"""


async def lock_customer(session: AsyncSession, token: str) -> CustomerRow | None:
    """A customer's row, locked until the end of the transaction."""
    found: CustomerRow | None = await session.scalar(_locked().where(CustomerRow.customer == token))
    return found


def adding_customer(customer: CustomerSnapshot) -> BoundStatement:
    """The statement that writes a customer nobody has heard of, and changes nothing when they are there.

    Most registrations are first ones and somebody waits for them: this takes the connection's short way.
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


async def lock_customer_of_stripe(session: AsyncSession, stripe_customer_id: str) -> CustomerRow | None:
    """The row of the customer behind a Stripe customer, locked.

    None only if it is certain that nobody is just being linked to it: that waits for this transaction.
    """
    query = _locked().where(CustomerRow.stripe_customer_id == stripe_customer_id)
    found: CustomerRow | None = await session.scalar(query)
    if found is None:
        await reserve_stripe_customer(session, stripe_customer_id)
        found = await session.scalar(query)
    return found


async def reserve_stripe_customer(session: AsyncSession, stripe_customer_id: str) -> None:
    """Let nobody else link or park for this Stripe customer until the end of the transaction."""
    key = sa.func.hashtextextended(f"stripe customer {stripe_customer_id}", 0)
    await session.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))


async def find_customer(session: AsyncSession, token: str) -> CustomerRow | None:
    """A customer's row, not locked."""
    return await session.get(CustomerRow, token)


async def customer_of_stripe(session: AsyncSession, stripe_customer_id: str) -> str | None:
    """The token of the customer behind a Stripe customer."""
    query = sa.select(CustomerRow.customer).where(CustomerRow.stripe_customer_id == stripe_customer_id)
    return await session.scalar(query)


async def find_subscription(session: AsyncSession, subscription_id: str) -> SubscriptionRow | None:
    """A subscription's row as it is now; its customer's row is what is locked."""
    query = sa.select(SubscriptionRow).where(SubscriptionRow.subscription_id == subscription_id)
    return await session.scalar(query.execution_options(populate_existing=True))


async def subscription_of_stripe(
    session: AsyncSession, stripe_subscription_id: str
) -> SubscriptionRow | None:
    """The row of a Stripe subscription."""
    query = sa.select(SubscriptionRow).where(SubscriptionRow.stripe_subscription_id == stripe_subscription_id)
    return await session.scalar(query.execution_options(populate_existing=True))


async def live_subscriptions(session: AsyncSession, token: str) -> Sequence[SubscriptionRow]:
    """A customer's subscriptions that have not ended, oldest first."""
    query = (
        sa.select(SubscriptionRow)
        .where(SubscriptionRow.customer == token, SubscriptionRow.status.not_in(FINAL))
        .order_by(SubscriptionRow.subscription_id)
    )
    return (await session.scalars(query)).all()


async def live_states(work: UnitOfWork, tokens: Sequence[str]) -> list[tuple[str, str, State]]:
    """These customers' subscriptions that have not ended: the customer, the id, the state.

    Asked whenever anything changes, so past the session; what it has not written yet is written first.
    """
    await work.flush()
    cursor = await work.driver.execute(FIND_LIVE, (tokens, list(FINAL)))
    return [
        (customer, subscription_id, state_of_columns(values))
        for customer, subscription_id, *values in await cursor.fetchall()
    ]


async def states_of(work: UnitOfWork, subscription_ids: Sequence[str]) -> dict[str, State]:
    """The states of subscriptions, by id."""
    await work.flush()
    cursor = await work.driver.execute(FIND_STATES, (subscription_ids,))
    rows = await cursor.fetchall()
    return {subscription_id: state_of_columns(values) for _, subscription_id, *values in rows}


async def newest_subscriptions(session: AsyncSession, tokens: Collection[str]) -> dict[str, SubscriptionRow]:
    """Each customer's newest subscription that has not ended, else their newest; of these a plan's first."""
    for_add_on = sa.exists().where(AddOnRow.subscription_id == SubscriptionRow.subscription_id)
    query = (
        sa.select(SubscriptionRow)
        .ext(distinct_on(SubscriptionRow.customer))
        .where(SubscriptionRow.customer == sa.any_(_texts(tokens)))
        .order_by(
            SubscriptionRow.customer,
            SubscriptionRow.status.in_(FINAL),
            for_add_on,
            SubscriptionRow.subscription_id.desc(),
        )
    )
    return {row.customer: row for row in await session.scalars(query)}


async def find_subscriptions(session: AsyncSession, ids: Collection[str]) -> dict[str, SubscriptionRow]:
    """Subscriptions by their ids."""
    query = sa.select(SubscriptionRow).where(SubscriptionRow.subscription_id == sa.any_(_texts(ids)))
    return {row.subscription_id: row for row in await session.scalars(query)}


def _texts(values: Collection[str]) -> sa.BindParameter[list[str]]:
    # One array whatever its length, so that the statement is always the same and stays prepared.
    return sa.literal(list(values), sa.ARRAY(sa.Text))


async def had_products(session: AsyncSession, token: str) -> set[str]:
    """The products that a customer has ever subscribed to."""
    items = await session.scalars(sa.select(SubscriptionRow.items).where(SubscriptionRow.customer == token))
    return {item["product"] for bought in items for item in bought if item["product"]}


async def list_customers(
    session: AsyncSession, *, search: str | None, before: str | None, limit: int
) -> Sequence[CustomerRow]:
    """Customers, newest first, from below an id; a search reads them all, which is for operators alone."""
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
    """Subscriptions, newest first, from below an id."""
    query = sa.select(SubscriptionRow).order_by(SubscriptionRow.subscription_id.desc()).limit(limit)
    if token is not None:
        query = query.where(SubscriptionRow.customer == token)
    if status is not None:
        query = query.where(SubscriptionRow.status == status)
    if before is not None:
        query = query.where(SubscriptionRow.subscription_id < before)
    return (await session.scalars(query)).all()


async def lock_customers(work: UnitOfWork, tokens: Iterable[str]) -> None:
    """Lock several customers' rows, in one order for everybody."""
    await work.driver.execute(LOCK_CUSTOMERS, (list(tokens),))


async def customers_of(session: AsyncSession, tokens: Iterable[str]) -> Sequence[CustomerRow]:
    """Several customers' rows, in one order; the caller has locked them."""
    query = sa.select(CustomerRow).where(CustomerRow.customer.in_(list(tokens)))
    return (await session.scalars(query.order_by(CustomerRow.customer))).all()


async def open_checkouts(work: UnitOfWork, token: str) -> Sequence[CheckoutRow]:
    """A customer's checkouts that are neither completed nor known to be over; mostly there are none."""
    await work.flush()
    if await (await work.driver.execute(FIND_OPEN_CHECKOUT, (token,))).fetchone() is None:
        return []
    query = sa.select(CheckoutRow).where(CheckoutRow.customer == token, CheckoutRow.status == "open")
    return (await work.session.scalars(query.order_by(CheckoutRow.checkout_id))).all()


async def find_checkout(
    session: AsyncSession, *, checkout_id: str | None = None, stripe_checkout_id: str | None = None
) -> CheckoutRow | None:
    """A checkout by its id or by Stripe's."""
    if checkout_id is not None:
        return await session.get(CheckoutRow, checkout_id)
    query = sa.select(CheckoutRow).where(CheckoutRow.stripe_checkout_id == stripe_checkout_id)
    return await session.scalar(query)


async def invoice_of_stripe(session: AsyncSession, stripe_invoice_id: str) -> InvoiceRow | None:
    """The row of a Stripe invoice."""
    query = sa.select(InvoiceRow).where(InvoiceRow.stripe_invoice_id == stripe_invoice_id)
    return await session.scalar(query.execution_options(populate_existing=True))


async def failures_of(session: AsyncSession, subscription_id: str) -> list[tuple[datetime, bool]]:
    """When the invoices of a subscription first could not be paid, and whether they are still owed."""
    query = sa.select(InvoiceRow.failed_at, InvoiceRow.status.not_in(("paid", "void"))).where(
        InvoiceRow.subscription_id == subscription_id, InvoiceRow.failed_at.is_not(None)
    )
    return [(at, is_owed) for at, is_owed in await session.execute(query) if at is not None]


async def list_invoices(
    session: AsyncSession, token: str, *, before: tuple[datetime, str] | None, limit: int
) -> Sequence[InvoiceRow]:
    """A customer's invoices, newest first, from below a moment and id."""
    key = (InvoiceRow.created_at, InvoiceRow.invoice_id)
    query = sa.select(InvoiceRow).where(InvoiceRow.customer == token)
    query = query.order_by(*(column.desc() for column in key)).limit(limit)
    if before is not None:
        query = query.where(sa.tuple_(*key) < sa.tuple_(*before))
    return (await session.scalars(query)).all()


async def find_entitlement(session: AsyncSession, token: str, feature: str) -> EntitlementRow | None:
    """What a customer has of a feature."""
    return await session.get(EntitlementRow, (token, feature))


async def allowances(work: UnitOfWork, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Allowance]:
    """What customers have of features, by both; on the connection's short way, which is asked the most."""
    columns = zip(*set(keys), strict=True)
    cursor = await work.driver.execute(FIND_ALLOWANCES, [list(column) for column in columns])
    return {
        (customer, feature): Allowance(
            allowed=allowed, quantity=quantity, sources=sources, expires_at=expires_at
        )
        for customer, feature, allowed, quantity, sources, expires_at in await cursor.fetchall()
    }


async def list_entitlements(
    session: AsyncSession, token: str, *, after: str | None, limit: int
) -> Sequence[EntitlementRow]:
    """What is given to a customer, by feature, from above a feature."""
    query = sa.select(EntitlementRow).where(EntitlementRow.customer == token, EntitlementRow.granted)
    if after is not None:
        query = query.where(EntitlementRow.feature > after)
    return (await session.scalars(query.order_by(EntitlementRow.feature).limit(limit))).all()


async def parked_events(session: AsyncSession, stripe_customer_id: str) -> Sequence[str]:
    """The ids of the events that wait for a Stripe customer, in the order in which they came."""
    query = (
        sa.select(ParkedEventRow.event_id)
        .where(ParkedEventRow.stripe_customer_id == stripe_customer_id)
        .order_by(ParkedEventRow.parked_at, ParkedEventRow.event_id)
    )
    return (await session.scalars(query)).all()


async def forget_parked_events(session: AsyncSession, stripe_customer_id: str) -> None:
    """Delete the marks of events that no longer wait."""
    await session.execute(
        sa.delete(ParkedEventRow).where(ParkedEventRow.stripe_customer_id == stripe_customer_id)
    )


def _locked() -> sa.Select[CustomerRow]:
    return sa.select(CustomerRow).with_for_update().execution_options(populate_existing=True)
