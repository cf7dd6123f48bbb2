"""Accounts of units: granted by subscriptions and by hand, used up, kept in a ledger that only grows."""
