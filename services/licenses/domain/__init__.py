"""Rules of licenses, without I/O."""
