"""The workers' plumbing: transactions with inbox and outbox, the relay, consumers, ticks, health.

Not a word of billing in here: what a message means is the services' business.
"""
