"""Replay of stored events."""
