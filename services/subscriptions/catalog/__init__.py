"""The catalog: what is sold, as one document declares it, kept in tables and in Stripe."""
