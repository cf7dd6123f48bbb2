"""A stand-in for Stripe's API, true enough that the real SDK cannot tell for what a billing back end uses."""

API_VERSION = "2026-10-28.endive"
