"""The Stripe stand-in on a free port, with its SDK and a customer on a test clock.

For the tests of the stand-in itself.
The product is tested with `tests/support/stripe.py` instead.
"""
