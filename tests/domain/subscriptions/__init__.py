"""Rules of subscriptions: catalog, prices, orders, plan changes, dunning and Stripe mapping.

Pure functions and values only.
Calls to Stripe and stored subscriptions are in `tests/use_cases/subscriptions`.
"""
