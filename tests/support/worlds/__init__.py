"""A service on a real database, with short methods for the commands and questions of a test.

No NATS unless a world needs two services.
No assertions about single rules: those belong in the tests.
"""
