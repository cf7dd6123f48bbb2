"""Connected accounts: opening, onboarding, and following what Stripe says of them."""
