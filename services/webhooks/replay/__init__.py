"""Publishing stored events again."""
