"""Totals of units over all accounts, kept while they change."""
