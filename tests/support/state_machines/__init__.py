"""State machines for Hypothesis, with the models they are compared with.

Each one drives a world of `tests/support/worlds`.
No tests here: those are in `tests/use_cases`.
"""
