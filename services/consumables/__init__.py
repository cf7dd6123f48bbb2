"""The service that manages accounts of units: grants, consumption and an append-only ledger."""
