"""Payment links: made and deactivated in Stripe, and what follows when somebody pays through one."""
