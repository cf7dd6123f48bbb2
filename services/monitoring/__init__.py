"""The monitoring worker: snapshots, capacity, trends, revenue, health and alarms."""
