"""Benefits: what a feature delivers to whoever has it."""
