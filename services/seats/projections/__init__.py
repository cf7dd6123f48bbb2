"""Projections of subscriptions, customers and invoices from the change feed."""
