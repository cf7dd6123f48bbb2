"""Previews of what a change costs: of a plan, an add-on or a cancellation, and of the upcoming invoice."""
