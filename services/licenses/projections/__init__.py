"""Products and subscriptions from the change feed."""
