"""One-off charges for other services: intent first, Stripe second, result third, and never twice."""
