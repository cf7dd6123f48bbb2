"""Balances and the ledger: loading and locking them, writing entries, and questions about them."""
