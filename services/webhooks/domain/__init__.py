"""Rules for Stripe events, without I/O and without a clock."""
