"""Webhook endpoints: commands, questions and signing secrets."""
