"""Tallystick for other teams: message types, subjects, a client and a command line.

Nothing in this package knows how the workers are built; it imports neither them nor their plumbing.
"""
