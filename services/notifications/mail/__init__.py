"""Mails: rendering and sending."""
