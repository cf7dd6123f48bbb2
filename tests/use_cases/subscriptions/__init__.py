"""Use cases of subscriptions: catalog, checkout, changes, dunning and Stripe webhooks.

Stripe is the stand-in, on a test clock where time passes.
Pure rules are in `tests/domain/subscriptions`.
"""
