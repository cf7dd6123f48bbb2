"""Ingress of Stripe events: over HTTP from Stripe, and over NATS from another receiver."""
