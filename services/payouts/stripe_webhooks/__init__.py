"""Stripe events about connected accounts, transfers and payouts."""
