"""Previews of what changes elsewhere do to units."""
