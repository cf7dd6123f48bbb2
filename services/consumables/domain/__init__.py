"""The rules of this service as pure functions and values, without I/O, clock or framework."""
