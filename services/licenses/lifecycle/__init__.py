"""What becomes of a license: seats, suspension, end, reminders."""
