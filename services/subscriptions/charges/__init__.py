"""One-off charges for other services, made exactly once: intent first, Stripe second, result third."""
