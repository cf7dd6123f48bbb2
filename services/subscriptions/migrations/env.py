"""Alembic's entry point for this service's schema."""

# Importing them declares their tables.
from services.subscriptions.tables import add_ons, catalog, overrides, seat_holders, subscriptions  # noqa: F401
from services.subscriptions.tables.base import Row
from shared.persistence.migrations import run

run(Row.metadata)
