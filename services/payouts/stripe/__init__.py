"""Calls of Stripe."""
