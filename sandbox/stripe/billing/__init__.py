"""Billing logic of the Stripe stand-in, apart from the HTTP resources.

Pricing, proration, calendar, renewal and collection.
"""
