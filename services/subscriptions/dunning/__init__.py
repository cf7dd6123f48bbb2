"""Failed payments: the grace period, and what happens when Stripe's retries end."""
