"""Rules for teams and seats, without I/O and without a clock."""
