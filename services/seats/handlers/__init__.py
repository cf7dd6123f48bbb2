"""The commands, questions, followed events and jobs of this service."""

from services.seats.handlers import feed, jobs, limits, questions, seats, teams

__all__ = ["feed", "jobs", "limits", "questions", "seats", "teams"]
