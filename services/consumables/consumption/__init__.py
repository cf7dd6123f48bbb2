"""Consuming, reserving, releasing and refunding units, and usage reports."""
