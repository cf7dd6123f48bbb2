"""Export of usage to Stripe's meters."""
