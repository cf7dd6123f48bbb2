"""Payouts: Stripe transfers to sellers, on demand and by schedule."""
