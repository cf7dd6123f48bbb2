"""`/api/v1/admin`: the routes of operators, for callers with the scope `billing:admin`."""

from fastapi import APIRouter

from services.gateway.api.admin import (
    catalog,
    customers,
    dead_letters,
    events,
    licenses,
    notifications,
    overrides,
    payment_links,
    payouts,
    platform_health,
    refunds,
    revenue,
    subscriptions,
    workers,
)

ROUTERS: tuple[APIRouter, ...] = (
    customers.router,
    subscriptions.router,
    catalog.router,
    overrides.router,
    payouts.router,
    payment_links.router,
    refunds.router,
    events.router,
    licenses.router,
    notifications.router,
    dead_letters.router,
    workers.router,
    platform_health.router,
    revenue.router,
)
