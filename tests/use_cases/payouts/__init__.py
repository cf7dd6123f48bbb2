"""Use cases of seats: assignments, seat counts, invitations and teams.

Subscriptions takes part where the number of seats changes.
Pure rules are in `tests/domain/seats`.
"""
