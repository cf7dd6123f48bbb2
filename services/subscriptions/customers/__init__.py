"""Customers: their registration, their counterpart in Stripe, and Stripe's billing portal."""
