"""The commands, questions, followed events and jobs of this service."""

from services.consumables.handlers import feed, jobs, recharges

__all__ = ["feed", "jobs", "recharges"]
