"""Rules of notifications: texts of others, retries, recipients and templates."""
