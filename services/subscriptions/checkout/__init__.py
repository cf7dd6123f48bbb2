"""Subscriptions that begin with a Stripe Checkout session."""
