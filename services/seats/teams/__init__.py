"""Use cases of whole teams."""
