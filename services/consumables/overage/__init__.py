"""Units beyond the included ones: owed instead of refused, and charged when the billing period has ended."""
