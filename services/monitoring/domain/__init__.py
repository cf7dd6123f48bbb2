"""Rules for revenue, capacity, trends and alarms, without I/O and without a clock."""
