"""Commands, questions, events and jobs of one service on a real database, without a worker.

Stripe is the stand-in behind the real SDK; there is a folder for each service.
Pure rules are in `tests/domain`, stories over several services in `tests/flows`.
"""
