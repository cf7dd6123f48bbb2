"""Use cases that assign seats to people and change a single seat."""
