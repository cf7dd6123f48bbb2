"""Balances and the ledger: loading, locking and writing them, their events, and queries."""
