"""Alembic's entry point for this service's schema."""

from services.notifications.tables import Row
from shared.persistence.migrations import run

run(Row.metadata)
