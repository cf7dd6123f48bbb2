"""All messages of the product; importing it fills the registries `COMMANDS`, `QUESTIONS` and `EVENTS`."""

from tallystick.messages import (
    base,
    catalog,
    consumables,
    licenses,
    monitoring,
    notifications,
    payouts,
    seats,
    subscriptions,
    tax_rates,
    webhooks,
)
from tallystick.messages.base import COMMANDS, EVENTS, QUESTIONS

__all__ = [
    "COMMANDS",
    "EVENTS",
    "QUESTIONS",
    "base",
    "catalog",
    "consumables",
    "licenses",
    "monitoring",
    "notifications",
    "payouts",
    "seats",
    "subscriptions",
    "tax_rates",
    "webhooks",
]
