"""Infrastructure on a laptop: what stands in for real Postgres, NATS and Stripe."""
