"""The commands, questions, followed events and jobs of this service, apart from the catalog's."""

from services.subscriptions.handlers import (
    add_ons,
    canceling,
    changing,
    charges,
    checkouts,
    customers,
    feed,
    jobs,
    life,
    metering,
    overrides,
    questions,
    stripe_events,
)

__all__ = [
    "add_ons",
    "canceling",
    "changing",
    "charges",
    "checkouts",
    "customers",
    "feed",
    "jobs",
    "life",
    "metering",
    "overrides",
    "questions",
    "stripe_events",
]
