"""Invitation tokens and their expiry."""
