"""Catalog, customers, subscriptions, invoices and entitlements; what costs money is asked of Stripe here."""
