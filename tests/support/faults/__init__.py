"""Programs and traffic for the tests that kill processes.

They run beside the test and write down every answer they got.
No tests here: those are in `tests/faults`.
"""
