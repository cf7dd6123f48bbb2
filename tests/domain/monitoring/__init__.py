"""Rules of monitoring: revenue, capacity, trends and alarms.

Pure functions and values only.
"""
