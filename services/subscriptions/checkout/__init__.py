"""Subscriptions that begin with a Stripe checkout session."""
