"""Exceptions for one customer: a feature given, added to or taken away, with a reason and an end."""
