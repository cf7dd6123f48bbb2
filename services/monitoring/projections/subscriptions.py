"""Projection of subscriptions and invoices: what is sold now, and their histories."""

from datetime import datetime
from typing import Any

import orjson

from services.monitoring.revenue.contents import invoice_run, subscription_run
from services.monitoring.revenue.histories import Version, add_versions
from services.monitoring.service import service
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as s

CUSTOM_PRODUCT = "custom"
"""Stands for products that are not in the catalog."""
KEEP_NEWEST = """
    INSERT INTO monitoring.known_subscriptions AS old
        (subscription_id, version, customer, status, product, unlimited)
    SELECT subscription_id, version, customer, status, product,
           ARRAY(SELECT jsonb_array_elements_text(unlimited))
    FROM jsonb_to_recordset(%s::jsonb) AS new
        (subscription_id text, version bigint, customer text, status text, product text, unlimited jsonb)
    ON CONFLICT (subscription_id) DO UPDATE
    SET version = excluded.version, status = excluded.status, product = excluded.product,
        unlimited = excluded.unlimited
    WHERE old.version < excluded.version
"""
"""One statement whatever the number of rows; building it with SQLAlchemy took as long as all the rest."""


@service.event(s.SubscriptionEvent, name="follow_subscriptions", together=True)
async def follow_subscriptions(work: UnitOfWork, events: list[s.SubscriptionEvent]) -> None:
    """Project subscriptions and what they are worth."""
    heard = [(event.subscription, event.occurred_at) for event in events]
    await project_subscriptions(work, heard)


@service.event(s.InvoiceEvent, name="follow_invoices", together=True)
async def follow_invoices(work: UnitOfWork, events: list[s.InvoiceEvent]) -> None:
    """Project what invoices brought in."""
    await project_invoices(work, [(event.invoice, event.occurred_at) for event in events])


async def project_invoices(work: UnitOfWork, heard: list[tuple[s.InvoiceSnapshot, datetime]]) -> None:
    """Project snapshots of invoices, each with the time of its version."""
    versions = [
        Version(invoice.invoice_id, invoice.customer.token, invoice_run(invoice, at)) for invoice, at in heard
    ]
    await add_versions(work, versions)


async def project_subscriptions(
    work: UnitOfWork, heard: list[tuple[s.SubscriptionSnapshot, datetime]]
) -> None:
    """Project snapshots of subscriptions, each with the time of its version."""
    newest = {
        subscription.subscription_id: subscription
        for subscription, _ in sorted(heard, key=lambda each: each[0].version)
    }
    rows = [_row(newest[subscription_id]) for subscription_id in sorted(newest)]
    await work.driver.execute(KEEP_NEWEST, (orjson.dumps(rows).decode(),))
    await add_versions(
        work,
        [
            Version(
                subscription.subscription_id,
                subscription.customer.token,
                subscription_run(subscription, at),
            )
            for subscription, at in heard
        ],
    )


def _row(subscription: s.SubscriptionSnapshot) -> dict[str, Any]:
    unlimited = {
        feature.feature
        for item in subscription.items
        for feature in item.features
        if feature.kind != "flag" and feature.quantity is None
    }
    products = [item.product for item in subscription.items]
    return {
        "subscription_id": subscription.subscription_id,
        "version": subscription.version,
        "customer": subscription.customer.token,
        "status": subscription.status,
        "product": (products[0] if products else None) or CUSTOM_PRODUCT,
        "unlimited": sorted(unlimited),
    }
