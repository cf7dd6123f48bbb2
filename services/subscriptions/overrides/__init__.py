"""Overrides: exceptions for one customer that grant, add to or take away a feature."""
