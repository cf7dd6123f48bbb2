"""The ways in: over HTTP from Stripe, and over NATS from another receiver."""
