"""Customers: their registration, their Stripe customer, and Stripe's billing portal."""
