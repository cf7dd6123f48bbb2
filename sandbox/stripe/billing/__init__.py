"""How the Stripe stand-in bills.

Pricing, proration, calendar, renewal and collection, apart from the HTTP resources.
"""
