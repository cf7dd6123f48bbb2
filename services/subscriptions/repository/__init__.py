"""The SQL of this service: finding, locking and writing rows."""
