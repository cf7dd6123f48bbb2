"""How the Stripe stand-in bills: pricing, proration, calendar, renewal and collection, apart from the HTTP resources."""
