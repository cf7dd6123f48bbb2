"""The files in `deploy/`: Compose, monitoring, and the NATS permissions of each user.

They are read as they are, and tried against a real NATS where that decides.
No attacks here: those are in `tests/security`.
"""
