"""Rules of consumables: balances, allotments, grant cycles and auto-recharge.

Pure functions and values only.
What is written to the ledger is in `tests/use_cases/consumables`.
"""
