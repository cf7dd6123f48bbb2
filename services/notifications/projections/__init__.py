"""What this service knows of customers, subscriptions, seats and the catalog, from the change feed."""
