"""Usage that is exported to Stripe's meters."""
