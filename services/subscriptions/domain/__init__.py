"""The rules of this service, without I/O, clock or framework."""
