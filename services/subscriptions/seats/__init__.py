"""Seats as this service sees them: who holds one, and so has what a subscription gives to its team."""
