"""The rules about Stripe's events, without I/O and without a clock."""
