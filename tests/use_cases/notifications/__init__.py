"""Use cases of notifications: mails, preferences and webhooks, with a real SMTP server.

Pure rules are in `tests/domain/notifications`.
"""
