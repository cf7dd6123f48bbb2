"""Add-ons: what is bought beside a plan, each a subscription of its own with the details its buyer gave."""
