"""The rules about teams and seats, without I/O and without a clock."""
