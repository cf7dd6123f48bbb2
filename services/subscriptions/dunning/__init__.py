"""Failed payments: the grace period and its end."""
