"""Rules of webhooks: signatures, payloads and outcomes of Stripe events.

Pure functions and values only.
Storing and replaying events is in `tests/use_cases/webhooks`.
"""
