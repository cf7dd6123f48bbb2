"""Add-ons: products bought beside a plan, each with its own subscription and its buyer's details."""
