"""Projections of catalog, subscriptions, teams, seats and overrides from the change feed."""
