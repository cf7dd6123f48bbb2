"""Alembic's entry point for this service's schema."""

import services.subscriptions.add_ons.tables
import services.subscriptions.catalog.tables
import services.subscriptions.overrides.tables
import services.subscriptions.seats.tables
import services.subscriptions.tables  # noqa: F401 - all of them declare their tables when they are imported
from services.subscriptions.base import Row
from shared.persistence.migrations import run

run(Row.metadata)
