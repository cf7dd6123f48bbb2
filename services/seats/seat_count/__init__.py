"""Changes of the number of seats, in step with the subscription."""
