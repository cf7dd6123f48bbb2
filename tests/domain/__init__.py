"""Rules of the services as plain functions, in a folder for each service.

No database, no network, no clock: each test takes milliseconds.
What needs a transaction or Stripe is in `tests/use_cases`.
"""
