"""The Stripe stand-in, driven through the official SDK.

Expected amounts are worked out by hand from the documentation of Stripe.
No product code here; how the product uses Stripe is in `tests/use_cases/subscriptions`.
"""
