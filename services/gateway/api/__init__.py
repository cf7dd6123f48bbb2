"""The routes of the HTTP API, one module for each topic."""

from fastapi import APIRouter

from services.gateway.api import (
    add_ons,
    admin,
    benefits,
    event_stream,
    invitations,
    licenses,
    machine_licenses,
    notifications,
    payouts,
    plans,
    seats,
    session,
    spending,
    subscription,
    team,
    units,
)

ROUTERS: tuple[APIRouter, ...] = (
    subscription.router,
    units.router,
    spending.router,
    plans.router,
    add_ons.router,
    team.router,
    seats.router,
    invitations.router,
    licenses.router,
    machine_licenses.router,
    machine_licenses.key_set_router,
    benefits.router,
    payouts.router,
    notifications.router,
    session.router,
    event_stream.router,
    *admin.ROUTERS,
)
"""The routers in the order in which requests are matched; the busiest come first."""
