"""Use cases that take units: consuming, reserving, giving back, and reports of what was used."""
