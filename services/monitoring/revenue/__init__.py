"""Revenue: histories of subscriptions and invoices, their movements by day, and questions about them."""
