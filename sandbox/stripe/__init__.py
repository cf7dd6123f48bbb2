"""Stand-in for the parts of Stripe's API that a billing back end uses, compatible with the real SDK."""

API_VERSION = "2026-10-28.endive"
