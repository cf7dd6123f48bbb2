"""The public package `tallystick`: its client, command line, feed and entitlements mirror.

They run against a real NATS, with a stub in place of the services.
No services and no Postgres here; the client against running services is in `tests/flows`.
"""
