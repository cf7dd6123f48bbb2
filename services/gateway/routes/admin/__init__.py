"""`/api/v1/admin`: what operators see and do, for callers with the scope `billing:admin`."""

from fastapi import APIRouter

from services.gateway.routes.admin import (
    catalog,
    customers,
    dead_letters,
    events,
    exceptions,
    subscriptions,
    workers,
)

ROUTERS: tuple[APIRouter, ...] = (
    customers.router,
    subscriptions.router,
    catalog.router,
    exceptions.router,
    events.router,
    dead_letters.router,
    workers.router,
)
