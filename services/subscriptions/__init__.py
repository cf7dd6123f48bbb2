"""The service of catalog, customers, subscriptions, invoices and entitlements; it calls Stripe's API."""
