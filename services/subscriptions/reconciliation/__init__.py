"""Comparing subscriptions with Stripe's, and cleaning up what nobody needs any more."""
