"""Licenses and their keys: issue, show, rotate."""
