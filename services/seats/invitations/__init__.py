"""Invitations: their tokens."""
