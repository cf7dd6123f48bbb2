"""A small service for tests of the plumbing: its messages, its tables and its worker.

It is as simple as a service can be.
Nothing about billing here.
"""
