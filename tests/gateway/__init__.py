"""The gateway: HTTP API, sessions, pages, forms and event stream.

Where no service is needed it runs alone in the test, else in front of the whole system.
No billing rules here, only how they are shown and who may use them.
"""
