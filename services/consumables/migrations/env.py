"""Alembic's entry point for this service's schema."""

# Importing them declares their tables.
from services.consumables.tables import ledger, metering, overage, projections  # noqa: F401
from services.consumables.tables.base import Row
from shared.persistence.migrations import run

run(Row.metadata)
