"""Stored Stripe events: each is written once, and can be looked up and listed."""
