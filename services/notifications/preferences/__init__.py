"""Preferences of recipients."""
