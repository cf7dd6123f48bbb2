"""Applying Stripe's events, in whatever order and number they come."""
