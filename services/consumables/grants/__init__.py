"""Grants of units by plans and by hand, their renewal in every cycle, their expiry, and limit ceilings."""
