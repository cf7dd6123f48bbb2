"""Changes of the number of seats, coordinated with the subscription."""
