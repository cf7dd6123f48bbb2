"""Stored Stripe events: written once each, found again, and listed."""
