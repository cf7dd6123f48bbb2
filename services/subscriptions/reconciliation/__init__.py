"""Reconciling subscriptions with Stripe's, and cleaning up abandoned rows."""
