"""Stripe's API as this service uses it."""
