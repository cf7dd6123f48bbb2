"""What this service keeps of subscriptions, customers and invoices, from the change feed."""
