"""Use cases that create, change, renew, pause and cancel a subscription."""
