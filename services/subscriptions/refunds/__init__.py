"""Refunds of paid invoices, by command or in Stripe, and disputes."""
