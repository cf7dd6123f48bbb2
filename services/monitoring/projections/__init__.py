"""Projections of other services' entities from the change feed."""
