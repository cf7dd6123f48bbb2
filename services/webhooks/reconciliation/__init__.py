"""Comparing the stored events with Stripe's own list."""
