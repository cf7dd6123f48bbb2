"""The code in `shared/`: commands, relay, feed consumers, workers, provisioning and audit.

A toy service stands for the real ones, against real Postgres and NATS.
Nothing about billing here.
"""
