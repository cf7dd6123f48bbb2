"""The catalog's rules, without I/O: validating a document, and planning what applying it changes."""
