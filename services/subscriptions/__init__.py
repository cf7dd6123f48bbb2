"""Catalog, customers, subscriptions, invoices and entitlements; the only caller of Stripe's API for money."""
