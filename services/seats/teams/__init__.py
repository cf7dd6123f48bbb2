"""Use cases that change who manages a team."""
