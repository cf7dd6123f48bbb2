"""The catalog's rules, without I/O: what a sound document is, and what applying one changes."""
