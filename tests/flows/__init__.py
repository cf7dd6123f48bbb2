"""Stories of one customer through all services, which run as processes with the Stripe stand-in.

Each test has a customer of its own and only uses what other teams can use.
No single rules here: test those in `tests/domain` or `tests/use_cases`, which are much faster.
"""
