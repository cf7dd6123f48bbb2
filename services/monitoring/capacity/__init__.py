"""Capacity against use, trends and recommendations."""
