"""Alembic's entry point for this service's schema."""

from services.payouts.service import service
from shared.persistence.migrations import run

run(service.metadata)
