"""The commands, questions, followed events and jobs of this service."""

from services.consumables.handlers import feed, jobs, questions, recharges, units, usage

__all__ = ["feed", "jobs", "questions", "recharges", "units", "usage"]
