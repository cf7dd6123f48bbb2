"""Health of services, streams and database, and alarms."""
