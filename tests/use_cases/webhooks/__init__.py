"""Use cases of webhooks: storing, replaying and reconciling Stripe events.

The stand-in lists the events of Stripe.
The running ingress is tested in `tests/flows`.
"""
