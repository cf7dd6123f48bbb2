"""Signing keys and license files."""
