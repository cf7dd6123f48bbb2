"""Alembic's entry point for this service's schema."""

from services.consumables import granting_tables, metering_tables, tables
from services.consumables.base import Row
from shared.persistence.migrations import run

__all__ = ["granting_tables", "metering_tables", "tables"]

run(Row.metadata)
