"""Webhook deliveries: from the feed to endpoints."""
