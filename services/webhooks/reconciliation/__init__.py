"""Reconciliation of the stored events with Stripe's list."""
