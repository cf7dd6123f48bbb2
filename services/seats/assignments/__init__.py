"""Use cases that give seats to people, and everything that happens to one seat."""
