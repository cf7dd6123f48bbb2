"""Catalog, customers, subscriptions, invoices and entitlements. No other service asks Stripe for anything that costs."""
