"""Rules of seats: capacity, addresses, invitations and member shares.

Pure functions and values only.
Commands on teams are in `tests/use_cases/seats`.
"""
