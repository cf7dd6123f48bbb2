"""Exceptions for one customer: a feature given, added to or taken away by people, with a reason and an end."""
