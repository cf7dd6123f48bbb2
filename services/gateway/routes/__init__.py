"""The routes, by topic."""

from fastapi import APIRouter

from services.gateway.routes import (
    add_ons,
    admin,
    invitations,
    live,
    plans,
    seats,
    session,
    subscription,
    team,
    units,
)

ROUTERS: tuple[APIRouter, ...] = (
    subscription.router,
    plans.router,
    add_ons.router,
    units.router,
    team.router,
    seats.router,
    invitations.router,
    session.router,
    live.router,
    *admin.ROUTERS,
)
"""In the order in which the OpenAPI document shows them."""
