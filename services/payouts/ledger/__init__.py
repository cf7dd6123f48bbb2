"""The append-only ledger of sellers: entries, balances, releases of held money."""
