"""Applying Stripe's webhook events, in whatever order and however often they arrive."""
