"""The workers' plumbing: transactions with inbox and outbox, the relay, consumers, ticks and health.

It knows nothing about billing; the services give messages their meaning.
"""
