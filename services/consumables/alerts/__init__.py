"""Usage alerts: setting and showing them."""
