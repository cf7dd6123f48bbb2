"""Local infrastructure for development: embedded Postgres and NATS, and a stand-in for Stripe."""
