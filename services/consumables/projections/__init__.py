"""What this service keeps of subscriptions, members and overrides, from the change feed."""
