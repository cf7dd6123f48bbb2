"""Alembic's entry point for this service's schema."""

from services.licenses.tables import Row
from shared.persistence.migrations import run

run(Row.metadata)
